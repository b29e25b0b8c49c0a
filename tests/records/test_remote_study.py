"""A URL is used for one study, refused in a sentence where it can't be, and fetched whole or not at all."""

from pathlib import Path
from typing import Any

import pytest

from study.errors import UserError
from study.records.remote_folder import RemoteFolder
from study.records.remote_study import check_mirror, fetch, read_copy
from study.records.study_folder import StudyFolder
from tests.records.mirrored import copied, mirror, to_copy
from tests.records.written import Add, every_fate, tables
from tests.s3 import Proxy
from tests.studies import study_plan


def refusal(url: str, folder: StudyFolder, own: Any = None, *, may_begin: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        check_mirror(url, folder, own, may_begin=may_begin)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) <= 200
    return message


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("bucket/path", "is not a URL, such as s3://bucket/path"),
        ("/tmp/path", "is not a URL"),
        ("http://bucket/path", "can't be used: Unrecognized filesystem type in URI"),
        ("s3://absent/path", "can't be used: NO_SUCH_BUCKET: The specified bucket does not exist"),
        ("s3://bucket/path?region=here&secret=x", "secret is not one of region, scheme, endpoint_override"),
        ("s3://key:secret@bucket/path", "credentials come from the environment"),
        ("s3://[bucket/path", "can't be used: Invalid IPv6 URL"),
        ("file://host/path", "can't be used: Unsupported hostname"),
        ("file:///proc/path", "can't be used: "),
        ("hdfs://host/path", "can't be used: Unable to load lib"),
        ("fsspec+nonsense://x", "can't be used: Protocol not known"),
        ("mock:x", "is not a URL"),
    ],
)
def test_a_url_that_cant_be_used(url: str, words: str, tmp_path: Path) -> None:
    message = refusal(url, StudyFolder(tmp_path / "mine"))
    assert words in message
    assert "secret@" not in message


@pytest.mark.parametrize("fault", ["refused", "cut"])
def test_a_bucket_out_of_reach(fault: str, study: StudyFolder, proxy: Proxy, bucket: str) -> None:
    proxy.be(fault)
    assert "NETWORK_CONNECTION: " in refusal(bucket, study)


def test_the_endpoint_may_stand_in_the_url(
    proxy: Proxy, study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    endpoint = proxy.endpoint.removeprefix("http://")
    url = f"s3://bucket/in-the-url?scheme=http&endpoint_override={endpoint}"
    mirror(study, url)
    assert copied(url) == to_copy(study)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert copied("s3://bucket/in-the-url") == to_copy(study)


def test_a_copy_is_not_kept_in_the_study(study: StudyFolder) -> None:
    assert "is in the study's own folder" in refusal(f"file://{study.path}/copy", study)


def test_a_url_is_of_one_study(study: StudyFolder, bucket: str, tmp_path: Path) -> None:
    check_mirror(bucket, study, study.read(), may_begin=True)
    assert f"has no copy of {study.path}" in refusal(bucket, study, study.read(), may_begin=False)
    mirror(study, bucket)
    check_mirror(bucket, study, study.read(), may_begin=False)
    assert f"holds another study: --resume {bucket}" in refusal(bucket, study)
    other = StudyFolder(tmp_path / "other")
    other.create(study_plan(name="other"), [], {})
    assert "holds another study" in refusal(bucket, other, other.read())
    RemoteFolder(bucket).write("study.json", b"[]")
    assert "holds another study" in refusal(bucket, study, study.read())


@pytest.mark.parametrize("kind", ["s3", "file"])
def test_a_fetched_study_is_the_study(
    kind: str, study: StudyFolder, add: Add, bucket: str, tmp_path: Path
) -> None:
    url = bucket if kind == "s3" else f"file://{tmp_path}/copy"
    every_fate(add)
    tables(study)
    mirror(study, url)
    record, plan = read_copy(url)
    assert (record, plan) == (study.read(), study.plan())
    found = fetch(url, tmp_path / "another" / "mine")
    assert to_copy(found) == to_copy(study)
    assert [path.name for path in (tmp_path / "another").iterdir()] == ["mine"]
    check_mirror(url, found, found.read(), may_begin=False)


def test_a_study_is_fetched_whole_or_not_at_all(
    study: StudyFolder, add: Add, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_fate(add)
    mirror(study, bucket)
    download = RemoteFolder.download

    def lost(remote: RemoteFolder, name: str, path: Path) -> None:
        if name.endswith("a-00002/curves.jsonl"):
            raise OSError(
                "AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 56, Recv failure"
            )
        download(remote, name, path)

    monkeypatch.setattr(RemoteFolder, "download", lost)
    with pytest.raises(UserError, match=r"can't be fetched: NETWORK_CONNECTION: Recv failure$"):
        fetch(bucket, tmp_path / "another" / "mine")
    assert list((tmp_path / "another").iterdir()) == []


def test_what_is_fetched_stays_in_the_folder(
    study: StudyFolder, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror(study, bucket)
    sizes = RemoteFolder.sizes
    evil = dict.fromkeys(["../evil", "trials/../../evil", "a//evil", ".ray/evil", "/evil"], 1)
    monkeypatch.setattr(RemoteFolder, "sizes", lambda remote: sizes(remote) | evil)
    assert to_copy(fetch(bucket, tmp_path / "another" / "mine")) == to_copy(study)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not a study's copy: it has no study.json"),
        (b"{", "is not a readable study folder: "),
        (b'{"plan": {}, "tables": 3}', "study"),
    ],
)
def test_a_url_without_a_study(content: bytes | None, words: str, bucket: str) -> None:
    if content is not None:
        RemoteFolder(bucket).write("study.json", content)
    with pytest.raises(UserError) as caught:
        read_copy(bucket)
    assert words in str(caught.value)
    assert str(caught.value).startswith(bucket)
