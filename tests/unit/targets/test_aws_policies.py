"""Policies that say the same have one digest; adding and taking out a statement leaves the others alone."""

from __future__ import annotations

from chaos_tasks.targets import aws

OTHER = {"Sid": "other", "Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": ["a", "b"]}
OURS = {"Sid": "squall1", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "a"}


def test_one_and_a_list_of_one_are_the_same() -> None:
    listed = {"Version": "2012-10-17", "Statement": [OTHER]}
    plain = {"Version": "2012-10-17", "Statement": {**OTHER, "Action": "s3:GetObject", "Resource": ["b", "a"]}}
    assert aws.policy_digest(listed) == aws.policy_digest(plain)
    assert aws.policy_digest(listed) != aws.policy_digest(None)


def test_a_statement_goes_in_once_and_comes_out_whole() -> None:
    before = {"Version": "2012-10-17", "Id": "theirs", "Statement": OTHER}
    once = aws.with_statements(before, [OURS])
    assert aws.with_statements(once, [OURS]) == once
    after = aws.without_statements(once, ["squall1"])
    assert aws.policy_digest(after) == aws.policy_digest(before)


def test_a_policy_that_names_no_version_is_given_none() -> None:
    """The version decides whether `${aws:username}` is read as a variable; no fault may leave another one."""
    before = {"Statement": [OTHER]}
    after = aws.without_statements(aws.with_statements(before, [OURS]), ["squall1"])
    assert aws.policy_digest(after) == aws.policy_digest(before)


def test_a_policy_without_statements_is_none() -> None:
    assert aws.without_statements(aws.with_statements(None, [OURS]), ["squall1"]) is None
