from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from tests.scripts import QUESTION
from vitarmm_agent import Settings
from vitarmm_agent.viewer import create_app

TOKEN = "a-token-that-is-long-enough"


def csrf(client: TestClient, path: str = "/solve") -> str:
    return re.findall(r'name="csrf" value="([0-9a-f]{64})"', client.get(path).text)[0]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8765", 200),
        ("127.0.0.1", 200),
        ("[::1]:8765", 200),
        ("LOCALHOST.", 200),
        ("evil.example:8765", 421),
        ("127.0.0.1.evil.example", 421),
        ("192.168.0.7:8765", 421),
        ("", 421),
    ],
)
def test_only_requests_to_this_host_are_answered(
    client: TestClient, host: str, status: int
) -> None:
    assert client.get("/runs", headers={"host": host}).status_code == status


def test_every_answer_carries_the_policy(client: TestClient) -> None:
    for path in ("/runs", "/static/app.js", "/nowhere", "/media/zz"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert client.get(path).headers["x-content-type-options"] == "nosniff"


def test_a_change_needs_the_token_of_this_session(client: TestClient) -> None:
    token = csrf(client)
    paths = ("/solve", "/memory/undo", "/runs/x/delete", "/runs/x/fork", "/runs/x/resume",
             "/runs/x/judge",
             "/memory/entry/x/edit", "/memory/entry/x/forget", "/memory/entry/x/review")  # fmt: skip
    for path in paths:
        assert client.post(path, data={"text": QUESTION}).status_code == 403
        wrong = client.post(path, data={"csrf": token[::-1]})
        assert wrong.status_code == 403
    client.cookies.clear()
    assert client.post("/solve", data={"csrf": token, "text": QUESTION}).status_code == 403


@pytest.mark.parametrize(
    "header",
    [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}],
)
def test_a_change_from_another_site_is_refused(client: TestClient, header: dict[str, str]) -> None:
    sent = {"csrf": csrf(client), "text": ""}
    assert client.post("/solve", data=sent, headers=header).status_code == 403
    own = {"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}
    assert client.post("/solve", data=sent, headers=own).status_code == 400  # an empty problem


def test_beyond_loopback_a_token_is_needed_once(settings: Settings) -> None:
    app = create_app(settings, token=TOKEN, hosts=["box.local"])
    with TestClient(app, base_url="http://box.local:8765", follow_redirects=False) as visitor:
        for path in ("/runs", "/static/app.js", "/memory", "/runs?token=wrong"):
            assert visitor.get(path).status_code == 401
        first = visitor.get(f"/runs?status=failed&token={TOKEN}")
        assert (first.status_code, first.headers["location"]) == (303, "/runs?status=failed")
        assert "HttpOnly; SameSite=Strict" in first.headers["set-cookie"]
        assert visitor.get("/runs").status_code == 200
        visitor.cookies.clear()
        bearer = {"authorization": f"Bearer {TOKEN}"}
        assert visitor.get("/runs", headers=bearer).status_code == 200
        assert visitor.get("/runs", headers={"host": "10.1.2.3:8765"} | bearer).status_code == 200
        evil = visitor.get("/runs", headers={"host": "evil.example"} | bearer)
        assert evil.status_code == 421
        away = visitor.get(f"http://box.local:8765//evil.example/x?token={TOKEN}")
        assert away.headers["location"].startswith("/evil.example")


def test_images_are_served_by_hash_only(client: TestClient, settings: Settings) -> None:
    from PIL import Image

    from vitarmm_agent.media import MediaStore

    path = settings.data_dir / "square.png"
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), "red").save(path)
    kept = MediaStore(settings.media_dir).put(path)
    found = client.get(f"/media/{kept.sha256}")
    assert (found.status_code, found.headers["content-type"]) == (200, "image/png")
    names = ("square.png", "..%2F..%2Ftraces.sqlite", kept.sha256[:-1], "*" * 64,
             kept.sha256.upper() if kept.sha256.upper() != kept.sha256 else "g" * 64)  # fmt: skip
    for name in names:
        assert client.get(f"/media/{name}").status_code == 404


def test_reports_are_served_from_their_folder_only(client: TestClient, settings: Settings) -> None:
    folder = settings.data_dir / "evaluations"
    folder.mkdir(parents=True)
    (settings.data_dir / "secret.json").write_text("{}")
    (folder / "run.html").write_text("<script>window.xss=1</script>")
    (folder / "link.json").symlink_to(settings.data_dir / "secret.json")
    assert "run.html" in client.get("/evaluations").text
    report = client.get("/evaluations/run.html")
    assert "script-src" not in report.headers["content-security-policy"]
    assert "sandbox" in report.headers["content-security-policy"]
    for name in ("..%2Fsecret.json", "../secret.json", "link.json", "none.html"):
        assert client.get(f"/evaluations/{name}").status_code == 404
