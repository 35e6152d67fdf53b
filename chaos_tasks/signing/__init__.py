"""Bytes that are signed: keys, signed notes, checkpoints, proofs, envelopes and statements; knows no ledger.

`keys` makes and reads Ed25519 keys.  `note`, `checkpoint`, `cosignature` and `proof` are texts of a transparency log
(https://c2sp.org); `dsse` and `statement` are what a run or a pack is signed as (https://in-toto.io).
"""
