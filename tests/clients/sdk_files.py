"""Runs in the Python SDK's environment: uploads, downloads and runs local files, tells what it saw.

Reads `{"integration": name or null}` from stdin.
"""

import json
import os
import sys
from pathlib import Path

import boto3
from botocore.exceptions import ClientError
from wherobots.config import WherobotsConfig
from wherobots.exceptions import WherobotsAPIError, WherobotsFileNotFoundError

import wherobots
from wherobots import FilesAPI, WherobotsJob

SCRIPT = """
import json, pathlib, sys
import helper
print(helper.WORD, sys.argv[1:])
"""


def files_api():
    """Uploads by temporary keys, as `FilesAPI` does by itself."""
    api = FilesAPI.from_config(WherobotsConfig.from_env())
    managed = api.get_managed_storage()
    Path("data.json").write_text('{"answer": 42}')
    Path("large.bin").write_bytes(os.urandom(20 << 20))  # by parts
    uris = {
        "script": api.upload_script("print('by content')", "by content.py".replace(" ", "-")),
        "managed": api.upload_managed_file("data.json", "datasets/2024"),
        "dependency": api.upload_dependency("large.bin", dest_subdir="big"),
    }
    keys = api.get_storage_credentials(managed.path, "read")
    store = boto3.session.Session(
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
        aws_session_token=keys.session_token,
        region_name=keys.region,
    ).client("s3")
    bucket, _, key = uris["dependency"].removeprefix("s3://").partition("/")
    whole = store.get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        store.put_object(Bucket=bucket, Key=key, Body=b"")
        wrote = True
    except ClientError:
        wrote = False
    api.close()
    return {
        "path": managed.path,
        "managed": managed.is_managed,
        "uris": uris,
        "whole": whole == Path("large.bin").read_bytes(),
        "read_keys_wrote": wrote,
    }


def my_files():
    """The drive of one's own, by presigned URLs."""
    with wherobots.Wherobots(region="aws-us-west-2") as client:
        drive = client.files.my_files
        drive.make_directory("reports/2026/q 3")
        Path("report ü.csv").write_text("a,b\n1,2\n")
        where = drive.upload_file("report ü.csv", "reports/2026/q 3/report ü+%.csv")
        for number in range(5):
            drive.upload_file("report ü.csv", f"reports/2026/{number}.csv")
        listed = drive.list_directory("reports/2026")
        drive.rename_file("reports/2026/0.csv", "renamed file.csv")
        try:
            drive.download_file("reports/2026/q 3/report ü+%.csv", "back.csv")
            refused = ""
        except WherobotsAPIError as problem:
            refused = str(problem)
        # Its session takes no redirect at all, and so raises at the one that it asks for.
        client._client._session.max_redirects = 1
        got = drive.download_file("reports/2026/q 3/report ü+%.csv", "back.csv").read_text()
        drive.delete_file("reports/2026/1.csv")
        left = [entry.name for entry in drive.list_directory("reports/2026/")]
        try:
            drive.download_file("reports/none.csv", "none.csv")
            missing = "found"
        except WherobotsFileNotFoundError:
            missing = "not found"
        try:
            drive.make_directory("reports")
            again = "made"
        except WherobotsAPIError as problem:
            again = problem.status_code
        drive.delete_directory("reports")
        root = [entry.name for entry in drive.list_directory()]
    return {
        "where": where,
        "listed": sorted((entry.name, entry.is_dir, entry.size) for entry in listed),
        "refused": refused,
        "got": got,
        "left": left,
        "missing": missing,
        "again": again,
        "root": root,
    }


def local_script():
    """A job whose script and dependency lie on this machine alone."""
    Path("local_job.py").write_text(SCRIPT)
    import zipfile

    with zipfile.ZipFile("helper.zip", "w") as archive:
        archive.writestr("helper.py", "WORD = 'brought along'\n")
    with WherobotsJob(
        script="local_job.py",
        name="sdk-local-script",
        runtime="micro",
        args=["--n", "1"],
        dependencies=[WherobotsJob.add_file_dependency("helper.zip")],
    ) as job:
        job.submit()
        status = job.wait_for_completion(stream_logs=False, poll_interval=0.2)
        lines = [item["raw"] for item in job.iter_logs()]
    return {"status": str(getattr(status, "value", status)), "lines": lines}


def main():
    json.load(sys.stdin)
    told = {"files_api": files_api(), "my_files": my_files(), "job": local_script()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
