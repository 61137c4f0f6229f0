"""The resident's page at the gateway alone: forms, their faults, what was typed, tokens, words in both languages."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import pytest

from gateway.concerns import NOTICE
from gateway.residents.photos import PHOTOS_MAX
from gateway.residents.rendering import HERE, LANGUAGES, Language, words
from gateway.services import Answer
from services.cases.domain import STATES, STEPS
from services.cases.routing.reasons import SENTENCES
from shared.receipts import read_receipt
from tests.gateway_door import Door, Said, door, quarantine_folder, refused
from tests.photo_files import GPS_MARK, HEIC, HTML, MAKER, photo, png_that_says

CODE = "7k2m9q4t1x"
DEPUTY = uuid4()
PUBLIC = {
    "kind": "deputy",
    "name": "方玲",
    "level": "county",
    "county": "330203",
    "town": None,
    "constituency": "第一选区",
}
SEEN = {
    "state": "submitted",
    "state_title": "待接收",
    "title": "路灯<b>不亮",
    "text": "半个月了",
    "erased": False,
    "has_contact": True,
    "consent": NOTICE["version"],
    "submitted_at": "2026-11-02T01:00:00Z",
    "take_up_by": "2026-11-04T09:00:00Z",
    "department": None,
    "answer_by": None,
    "dates_reason": None,
    "answer": None,
    "result": None,
    "rating": {"stars": None, "attitude": None, "result": None},
    "objected": False,
    "photos": [],
    "parts": [],
    "can": ["withdraw"],
    "steps": [],
    "contact_reads": [],
}


def answer(status: int, content: Any) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


@pytest.fixture
def at() -> Door:
    return prepared()


def prepared(**more: Any) -> Door:
    """A gateway before which a deputy's code leads somewhere."""
    given: dict[str, Any] = {"concerns_per_address": "1000/hour", "follow_attempts_per_address": "1000/hour"}
    found = door(**given, **more)
    token = found.issuer.token("intake", "intake")
    found.services.answers = {
        ("identity", "/token"): answer(200, {"access_token": token, "expires_in": 900}),
        ("identity", f"/codes/{CODE}"): answer(200, PUBLIC),
        ("identity", f"/codes/{CODE}/deputy"): answer(
            200, {"deputy_id": str(DEPUTY), "owner": str(DEPUTY), "county": "330203", "town": None}
        ),
        ("identity", "/departments"): answer(200, {"items": [{"code": "housing", "name": "住建局"}]}),
    }
    return found


async def sent(at: Door, path: str, form: dict[str, str], **headers: str) -> Said:
    body = urlencode(form).encode()
    told = {"content-type": "application/x-www-form-urlencoded", "content-length": str(len(body))}
    return await at.ask("POST", path, role=None, raw=body, headers=told | headers)


def concern(**more: str) -> dict[str, str]:
    filled = {"title": "路灯不亮", "text": "门口路灯\r\n不亮", "consent": NOTICE["version"]}
    return {"id": str(uuid4()), **filled, **more}


def field(page: Said, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page.raw.decode())
    assert found is not None
    return found[1]


async def submitted(at: Door) -> tuple[str, str]:
    """Submit a concern; the receipt number and the cookie."""
    said = await sent(at, f"/r/{CODE}", concern())
    assert said.status == 303, said.raw.decode()
    receipt = said.headers["location"].removeprefix("/r/concerns/")
    command = at.post.sent[-1][1]
    seen = {"case_id": command.subject, "concern": {**SEEN, "receipt": read_receipt(receipt)}}
    at.services.answers["cases", "/concerns/seen"] = answer(200, seen)
    cookie = SimpleCookie(said.headers["set-cookie"])
    return receipt, "; ".join(f"{name}={one.value}" for name, one in cookie.items())


async def test_a_code_shows_its_deputy_and_a_wrong_one_says_what_to_do(at: Door) -> None:
    shown = await at.ask("GET", f"/r/{CODE}", role=None)
    assert shown.status == 200
    assert "方玲" in shown.raw.decode()
    assert NOTICE["text"] in shown.raw.decode()
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'")
    assert "script" not in policy
    at.services.answers["identity", f"/codes/{CODE}"] = answer(404, {})
    wrong = await at.ask("GET", f"/r/{CODE}", role=None)
    assert (wrong.status, "重新扫码" in wrong.raw.decode()) == (404, True)


STATION = {
    "kind": "station",
    "name": "高桥镇联络站",
    "county": "330203",
    "town": "330203100",
    "deputies": [
        {"code": "abcdefghjk", "name": "方玲", "level": "county", "constituency": "第一选区"},
        {"code": "0123456789", "name": "水<i>生", "level": "town", "constituency": "第二选区"},
    ],
}


def picked(at: Door) -> dict[str, str]:
    """What was asked of identity when the last concern was sent."""
    found = [query for _, path, query in at.services.asked if path == f"/codes/{CODE}/deputy"]
    return dict(parse_qsl(found[-1]))


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_stations_code_shows_the_station_with_its_deputies_of_whom_one_may_be_picked(
    at: Door, language: str
) -> None:
    at.services.answers["identity", f"/codes/{CODE}"] = answer(200, STATION)
    said = await at.ask("GET", f"/r/{CODE}", role=None, headers={"accept-language": language})
    text = said.raw.decode()
    assert said.status == 200
    for word in ("高桥镇联络站", "方玲", "水&lt;i&gt;生", "第二选区", words(language)["station.any"]):  # type: ignore[arg-type]
        assert word in text
    form = concern()
    assert (await sent(at, f"/r/{CODE}", form)).status == 303
    assert picked(at) == {"lot": form["id"]}
    form = concern(deputy="0123456789")
    assert (await sent(at, f"/r/{CODE}", form)).status == 303
    assert picked(at) == {"lot": form["id"], "picked": "0123456789"}


async def test_a_deputy_who_left_the_station_is_to_be_picked_anew_and_nothing_typed_is_lost(at: Door) -> None:
    at.services.answers["identity", f"/codes/{CODE}"] = answer(200, STATION)
    for deputy in ("zzzzzzzzzz", "not a code!"):
        said = await sent(at, f"/r/{CODE}", concern(deputy=deputy))
        assert (said.status, field(said, "title")) == (422, "路灯不亮")
        assert said.raw.decode().count(words("zh")["fault.deputy.gone"]) == 2
    at.services.answers["identity", f"/codes/{CODE}/deputy"] = answer(
        422, {}
    )  # left between the two questions
    said = await sent(at, f"/r/{CODE}", concern(deputy="abcdefghjk"))
    assert (said.status, said.raw.decode().count(words("zh")["fault.deputy.gone"])) == (422, 2)
    assert at.post.sent == []


async def test_a_station_without_a_deputy_says_so_and_offers_no_form(at: Door) -> None:
    at.services.answers["identity", f"/codes/{CODE}"] = answer(200, {**STATION, "deputies": []})
    said = await at.ask("GET", f"/r/{CODE}", role=None)
    assert (said.status, words("zh")["station.none"] in said.raw.decode()) == (200, True)
    assert "<form" not in said.raw.decode()
    at.services.answers["identity", f"/codes/{CODE}/deputy"] = answer(409, {})
    said = await sent(at, f"/r/{CODE}", concern())
    assert (said.status, words("zh")["station.none"] in said.raw.decode()) == (409, True)


async def test_a_form_sent_twice_is_one_command_and_leads_to_one_receipt(at: Door) -> None:
    form = concern()
    first, again = await sent(at, f"/r/{CODE}", form), await sent(at, f"/r/{CODE}", form)
    assert first.headers["location"] == again.headers["location"]
    ids = [command.id for _, command in at.post.sent]
    assert [str(one) for one in ids] == [form["id"]] * 2
    opened = at.services.opener.open(at.post.sent[0][1].data["sealed"])
    assert opened == {"title": "路灯不亮", "text": "门口路灯\n不亮"}


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"title": ""}, "fault.title.missing"),
        ({"title": "长" * 201}, "fault.title.long"),
        ({"text": "a\x07b"}, "fault.text.signs"),
        ({"contact": "9" * 201}, "fault.contact.long"),
        ({"consent": ""}, "fault.consent.missing"),
        ({"consent": "2020-01"}, "fault.consent.missing"),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_is_wrong_is_said_in_the_page_and_nothing_typed_is_lost(
    at: Door, language: str, more: dict[str, str], word: str
) -> None:
    form = {**concern(contact="13900000001"), **more}
    said = await sent(at, f"/r/{CODE}", form, **{"accept-language": language})
    text = said.raw.decode()
    assert said.status == 422
    assert text.count(words(language)[word]) == 2, "in the summary and at the field"  # type: ignore[arg-type]
    assert field(said, "id") == form["id"]
    for name in ("title", "contact"):
        assert field(said, name) == form[name]
    assert at.post.sent == []


async def test_a_refusal_and_a_late_outcome_keep_what_was_typed(at: Door) -> None:
    at.post.outcome = refused("conflict")
    said = await sent(at, f"/r/{CODE}", concern())
    assert (said.status, field(said, "title")) == (409, "路灯不亮")
    at.post.outcome = lambda _: None
    form = concern()
    late = await sent(at, f"/r/{CODE}", form)
    assert (late.status, field(late, "id")) == (202, form["id"])
    assert words("zh")["problem.pending"] in late.raw.decode()
    assert "/f/" not in late.raw.decode()


async def test_another_sites_page_sends_nothing(at: Door) -> None:
    said = await sent(at, f"/r/{CODE}", concern(), **{"sec-fetch-site": "cross-site"})
    assert (said.status, at.post.sent) == (403, [])
    own = await sent(at, f"/r/{CODE}", concern(), **{"sec-fetch-site": "same-origin"})
    assert own.status == 303


async def test_who_submitted_sees_the_link_and_who_opened_it_later_does_not(at: Door) -> None:
    receipt, cookie = await submitted(at)
    page = await at.ask("GET", f"/r/concerns/{receipt}", role=None, headers={"cookie": cookie})
    assert page.status == 200
    secret = re.search(r"/f/([0-9A-Z]{26})<", page.raw.decode())
    assert secret is not None
    assert "路灯&lt;b&gt;不亮" in page.raw.decode()
    opened = await at.ask("GET", f"/f/{secret[1]}", role=None, headers={"accept": "text/html"})
    assert opened.headers["location"] == f"/r/concerns/{receipt}"
    later = SimpleCookie(opened.headers["set-cookie"])
    headers = {"cookie": "; ".join(f"{name}={one.value}" for name, one in later.items())}
    page = await at.ask("GET", f"/r/concerns/{receipt}", role=None, headers=headers)
    assert (page.status, secret[1] in page.raw.decode()) == (200, False)


def multipart(form: dict[str, str], *photos: bytes, kept: Sequence[str] = ()) -> tuple[bytes, str]:
    """A form as a browser sends it that has files, the empty ones of untouched inputs among them; its content type."""
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in form.items()]
    parts += [f'name="kept"\r\n\r\n{name}'.encode() for name in kept]
    for content in (*photos, b""):
        about = (
            f'name="photo"; filename="{"IMG 1.HEIC" if content else ""}"\r\nContent-Type: text/html\r\n\r\n'
        )
        parts.append(about.encode() + content)
    body = b"".join(b"--mark\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
    return body + b"--mark--\r\n", "multipart/form-data; boundary=mark"


async def left(
    at: Door,
    form: dict[str, str],
    *photos: bytes,
    kept: Sequence[str] = (),
    path: str = f"/r/{CODE}",
    **headers: str,
) -> Said:
    """Send a concern, or what is said on one, with photos."""
    body, kind = multipart(form, *photos, kept=kept)
    told = {"content-type": kind, "content-length": str(len(body))}
    return await at.ask("POST", path, role=None, raw=body, headers=told | headers)


def ticked(page: Said) -> list[str]:
    """What a page names of photos that it has kept."""
    return re.findall(r'name="kept" value="([^"]+)" checked', page.raw.decode())


async def test_photos_come_with_a_plain_form_and_lie_clean_in_quarantine_under_the_digests_of_the_command(
    at: Door,
) -> None:
    form = concern(text="两行\r\n字")
    given = (photo(colour="pink"), photo(kind="PNG", colour="navy"))
    first, again = await left(at, form, *given), await left(at, form, *given)
    assert (first.status, again.headers["location"]) == (303, first.headers["location"]), first.raw.decode()
    sent_first, sent_again = (one for _, one in at.post.sent)
    digests = sent_first.data["photos"]
    assert (len(digests), sent_again.data["photos"]) == (2, digests)
    assert sent_first.datadigest == sent_again.datadigest
    assert at.services.opener.open(sent_first.data["sealed"])["text"] == "两行\n字"
    for digest in digests:
        kept = (quarantine_folder() / "photos" / digest).read_bytes()
        assert kept.startswith(b"\xff\xd8")
        assert not any(mark in kept for mark in (GPS_MARK, MAKER.encode(), b"Exif"))
        assert (quarantine_folder() / "claims" / digest).exists()


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (HTML, "type"),
        (HEIC, "type"),
        (photo()[:3000], "unreadable"),
        (png_that_says(30_000, 30_000), "large"),
        (b"\xff\xd8\xff" + b"\0" * 300_000, "large"),
    ],
    ids=["html", "heic", "cut", "bomb", "bytes"],
)
async def test_a_photo_that_cannot_be_taken_is_said_in_words_and_words_and_good_photos_stay(
    wrong: bytes, word: str
) -> None:
    at = prepared(photo_bytes_max=200_000)
    form = concern(contact="13900000001")
    said = await left(at, form, photo(colour="teal"), wrong)
    text = said.raw.decode()
    assert (said.status, at.post.sent) == (422, [])
    assert text.count(words("zh")[f"fault.photos.{word}"]) == 2, "in the summary and at the field"
    assert (field(said, "title"), field(said, "contact")) == (form["title"], form["contact"])
    assert text.count('src="data:image/jpeg;base64,') == 1
    (name,) = ticked(said)
    done = await left(at, form, kept=[name])
    assert (done.status, at.post.sent[-1][1].data["photos"]) == (303, [name.partition(".")[0]])


async def test_of_too_many_photos_the_first_are_kept_and_unticking_one_makes_room(at: Door) -> None:
    form = concern()
    colours = ("red", "green", "gold", "gray")
    said = await left(at, form, *(photo(colour=colour) for colour in colours))
    assert (said.status, at.post.sent) == (422, [])
    assert said.raw.decode().count(words("zh")["fault.photos.many"]) == 2
    names = ticked(said)
    assert len(names) == PHOTOS_MAX
    done = await left(at, form, photo(colour="gray"), kept=names[1:])
    assert done.status == 303
    assert at.post.sent[-1][1].data["photos"][:2] == [name.partition(".")[0] for name in names[1:]]


async def test_what_is_missing_in_the_words_loses_no_photo_and_a_form_names_no_photo_of_another(
    at: Door,
) -> None:
    form = concern(title="")
    said = await left(at, form, photo(colour="lime"))
    assert (said.status, words("zh")["fault.title.missing"] in said.raw.decode()) == (422, True)
    (name,) = ticked(said)
    other = concern()
    for foreign in (name, name.partition(".")[0], "x" * 64 + ".你"):
        assert (await left(at, other, kept=[foreign])).status == 303
        assert at.post.sent[-1][1].data["photos"] == []
    assert (await left(at, form | {"title": "路灯"}, kept=[name])).status == 303
    assert len(at.post.sent[-1][1].data["photos"]) == 1


async def test_photos_that_were_put_away_meanwhile_are_to_be_chosen_again(at: Door) -> None:
    form = concern(title="")
    (name,) = ticked(await left(at, form, photo(colour="coral")))
    (quarantine_folder() / "photos" / name.partition(".")[0]).unlink()
    said = await left(at, form | {"title": "路灯"}, kept=[name])
    assert (said.status, ticked(said)) == (422, [])
    assert said.raw.decode().count(words("zh")["fault.photos.gone"]) == 2


async def test_an_address_brings_so_many_photos_an_hour_and_words_beyond_them_still_arrive() -> None:
    at = prepared(photos_per_hour_max=1)
    form = concern()
    said = await left(at, form, photo(colour="red"), photo(colour="blue"))
    assert (said.status, said.raw.decode().count(words("zh")["fault.photos.often"])) == (422, 2)
    assert len(ticked(said)) == 1
    done = await left(at, form, kept=ticked(said))
    assert (done.status, len(at.post.sent[-1][1].data["photos"])) == (303, 1)
    assert (await left(at, concern(), photo(colour="red"))).status == 422
    told = {"content-type": "multipart/form-data; boundary=x", "content-length": "9000000"}
    unread = await at.ask("POST", f"/r/{CODE}", role=None, headers=told)
    assert (unread.status, words("zh")["problem.too-many-photos"] in unread.raw.decode()) == (429, True)


async def test_a_form_larger_than_all_that_may_come_is_a_page_that_says_so(at: Door) -> None:
    told = {"content-type": "multipart/form-data; boundary=x", "content-length": str(65 * 1024 * 1024)}
    said = await at.ask("POST", f"/r/{CODE}", role=None, headers=told)
    assert (said.status, words("zh")["problem.too-large"] in said.raw.decode()) == (413, True)
    told["content-length"] = "300000"
    assert (await at.ask("POST", "/r/", role=None, headers=told)).status == 413, "no other form brings photos"


async def asked(at: Door) -> tuple[str, str, dict[str, str]]:
    """A concern of which the department asked something: the path of its form, the cookie, the form."""
    receipt, cookie = await submitted(at)
    found = json.loads(at.services.answers["cases", "/concerns/seen"].body)
    found["concern"] |= {"state": "waiting", "can": ["supply", "withdraw"]}
    at.services.answers["cases", "/concerns/seen"] = answer(200, found)
    page = await at.ask("GET", f"/r/concerns/{receipt}", role=None, headers={"cookie": cookie})
    form = {"id": str(uuid4()), "token": field(page, "token"), "text": "三号楼东侧"}
    return f"/r/concerns/{receipt}/supply", cookie, form


async def test_photos_come_with_what_is_supplied_and_what_is_wrong_loses_none_of_it(at: Door) -> None:
    path, cookie, form = await asked(at)
    said = await left(
        at, form | {"text": ""}, photo(colour="cyan"), HTML, HEIC, photo(), path=path, cookie=cookie
    )
    text = said.raw.decode()
    assert (said.status, field(said, "token"), len(ticked(said))) == (422, form["token"], 2)
    for word in ("fault.supply.missing", "fault.photos.type"):
        assert text.count(words("zh")[word]) == 2, "at the top and in the form"
    assert len(at.post.sent) == 1, "the concern alone"
    for _ in range(2):
        done = await left(at, form, kept=ticked(said), path=path, cookie=cookie)
        assert (done.status, done.headers["location"]) == (303, path.removesuffix("/supply") + "?done=supply")
    first, again = (one for _, one in at.post.sent[1:])
    assert first.data["photos"] == [name.partition(".")[0] for name in ticked(said)] == again.data["photos"]
    assert at.services.opener.open(first.data["sealed"]) == {"text": "三号楼东侧"}
    assert first.datadigest == again.datadigest
    foreign = await left(at, form | {"id": str(uuid4())}, kept=ticked(said), path=path, cookie=cookie)
    assert (foreign.status, at.post.sent[-1][1].data["photos"]) == (303, [])


async def test_photos_of_what_is_supplied_that_cannot_be_named_are_said_at_their_field(at: Door) -> None:
    path, cookie, form = await asked(at)
    (name,) = ticked(await left(at, form | {"text": ""}, photo(colour="beige"), path=path, cookie=cookie))
    at.post.outcome = refused("invalid", code="too-many-photos")
    full = await left(at, form, kept=[name], path=path, cookie=cookie)
    assert (full.raw.decode().count(words("zh")["fault.photos.full"]), ticked(full)) == (2, [name])
    (quarantine_folder() / "photos" / name.partition(".")[0]).unlink()
    gone = await left(at, form, kept=[name], path=path, cookie=cookie)
    assert (gone.raw.decode().count(words("zh")["fault.photos.gone"]), ticked(gone)) == (2, [])
    assert "三号楼东侧" in gone.raw.decode()


async def test_large_forms_are_read_only_where_photos_are_asked_for_and_of_who_opened_the_concern(
    at: Door,
) -> None:
    path, cookie, _ = await asked(at)
    told = {"content-type": "multipart/form-data; boundary=x", "content-length": "9000000"}
    assert (await at.ask("POST", path, role=None, headers=told)).status == 404
    for other in (path.replace("/supply", "/reopen"), path + "/supply"):
        assert (await at.ask("POST", other, role=None, headers=told | {"cookie": cookie})).status == 413


async def test_the_resident_sees_own_photos_by_the_cookie_of_the_concern_and_nobody_else_does(
    at: Door,
) -> None:
    receipt, cookie = await submitted(at)
    found = json.loads(at.services.answers["cases", "/concerns/seen"].body)
    digest = "6b" * 32
    states = ("kept", "claimed", "missing")
    found["concern"]["photos"] = [{"digest": digest, "state": state} for state in states]
    at.services.answers["cases", "/concerns/seen"] = answer(200, found)
    at.services.answers["cases", "/concerns/photo"] = Answer(
        200,
        {"Content-Type": "image/jpeg", "Content-Disposition": 'attachment; filename="a.jpg"'},
        b"\xff\xd8",
    )
    page = (await at.ask("GET", f"/r/concerns/{receipt}", role=None, headers={"cookie": cookie})).raw.decode()
    path = f"/api/concerns/{receipt}/photos/{digest}?size=thumbnail"
    assert page.count(f'<img src="{path}"') == 1
    for word in ("concern.photoSoon", "concern.photoMissing"):
        assert words("zh")[word].split("{number}")[1] in page
    shown = await at.ask("GET", path, role=None, headers={"cookie": cookie})
    assert (shown.status, shown.raw, shown.headers["content-type"]) == (200, b"\xff\xd8", "image/jpeg")
    assert shown.headers["content-disposition"].startswith("attachment")
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert at.services.bodies[-1]["size"] == "thumbnail"
    assert (await at.ask("GET", path, role=None)).code == "follow-unknown"


async def test_parts_of_a_concern_stand_on_its_page_with_state_department_and_date(at: Door) -> None:
    receipt, cookie = await submitted(at)
    found = json.loads(at.services.answers["cases", "/concerns/seen"].body)
    part = {"state_title": "", "department": "housing", "filed_at": "2026-11-02T01:00:00Z", "answer": None}
    owed = {
        **part,
        "state": "accepted",
        "answer_by": "2026-11-09T09:00:00Z",
        "closed_at": None,
        "result": None,
    }
    closed = {
        **part,
        "state": "closed",
        "answer_by": "2026-11-09T09:00:00Z",
        "closed_at": "2026-11-10T01:00:00Z",
    }
    waiting = {**owed, "state": "triage", "department": None, "answer_by": None}
    found["concern"]["parts"] = [owed, {**closed, "result": "solved", "answer": "已<b>修好"}, waiting]
    at.services.answers["cases", "/concerns/seen"] = answer(200, found)
    page = (await at.ask("GET", f"/r/concerns/{receipt}", role=None, headers={"cookie": cookie})).raw.decode()
    section = page.partition('aria-labelledby="parts"')[2].partition("</section>")[0]
    for word in (
        "住建局",
        "承办单位已签收",
        "2026年11月9日",
        "答复：已解决",
        "2026年11月10日",
        "已&lt;b&gt;修好",
    ):
        assert word in section, word
    assert "拆分日期</dt><dd>2026年11月2日" in section


async def test_an_objection_is_offered_once_and_its_review_says_by_when(at: Door) -> None:
    receipt, cookie = await submitted(at)
    found = json.loads(at.services.answers["cases", "/concerns/seen"].body)
    found["concern"] |= {"state": "declined", "can": ["object"], "take_up_by": None}
    at.services.answers["cases", "/concerns/seen"] = answer(200, found)
    page = await at.ask("GET", f"/r/concerns/{receipt}", role=None, headers={"cookie": cookie})
    assert f'action="/r/concerns/{receipt}/object"' in page.raw.decode()
    form = {"text": " ", "token": field(page, "token")}
    empty = await sent(at, f"/r/concerns/{receipt}/object", form, cookie=cookie)
    assert (empty.status, words("zh")["fault.object.missing"] in empty.raw.decode()) == (422, True)
    found["concern"] |= {"state": "submitted", "can": ["withdraw"], "objected": True}
    found["concern"]["take_up_by"] = "2026-11-09T09:00:00Z"
    at.services.answers["cases", "/concerns/seen"] = answer(200, found)
    text = (await at.ask("GET", f"/r/concerns/{receipt}", role=None, headers={"cookie": cookie})).raw.decode()
    assert words("zh")["state.objected"] in text
    assert f"{words('zh')['concern.reviewBy']}</dt><dd>2026年11月9日" in text
    assert words("zh")["receipt.expected"] not in text
    assert "/object" not in text


async def test_a_form_on_a_concern_needs_the_token_of_its_page(at: Door) -> None:
    receipt, cookie = await submitted(at)
    path = f"/r/concerns/{receipt}"
    page = await at.ask("GET", path, role=None, headers={"cookie": cookie})
    token, before = field(page, "token"), len(at.post.sent)
    form = {"id": str(uuid4()), "sure": "yes"}
    for wrong in ({}, {"token": "0" * 64}, {"token": "你"}):
        said = await sent(at, f"{path}/withdraw", form | wrong, cookie=cookie)
        assert (said.status, len(at.post.sent)) == (403, before)
    assert (await sent(at, f"{path}/withdraw", form | {"token": token})).status == 404, "no cookie"
    unsure = await sent(at, f"{path}/withdraw", {"token": token}, cookie=cookie)
    assert (unsure.status, len(at.post.sent)) == (422, before)
    said = await sent(at, f"{path}/withdraw", form | {"token": token}, cookie=cookie)
    assert (said.status, said.headers["location"]) == (303, f"{path}?done=withdraw")
    assert (at.post.sent[-1][1].type, str(at.post.sent[-1][1].id)) == ("concern.withdraw", form["id"])


@pytest.mark.parametrize(
    ("action", "form", "type_"),
    [
        ("supply", {"text": "在东门口"}, "concern.supply"),
        ("reopen", {"text": "还是不亮"}, "concern.reopen"),
        ("object", {"text": "不同意"}, "concern.object"),
        ("rate", {"stars": "2", "attitude": "4", "result": ""}, "concern.rate"),
        ("erase-contact", {}, "concern.erase"),
        ("erase-all", {"sure": "yes"}, "concern.erase"),
        ("close-link", {}, "concern.close-link"),
    ],
)
async def test_each_form_of_a_concern_is_its_command(
    at: Door, action: str, form: dict[str, str], type_: str
) -> None:
    receipt, cookie = await submitted(at)
    page = await at.ask("GET", f"/r/concerns/{receipt}", role=None, headers={"cookie": cookie})
    said = await sent(
        at, f"/r/concerns/{receipt}/{action}", {**form, "token": field(page, "token")}, cookie=cookie
    )
    assert said.status == 303, said.raw.decode()
    command = at.post.sent[-1][1]
    assert command.type == type_
    if action == "rate":
        assert (command.data["stars"], command.data["attitude"], command.data["result"]) == (2, 4, None)


async def test_a_refused_form_of_a_concern_keeps_what_was_typed(at: Door) -> None:
    receipt, cookie = await submitted(at)
    page = await at.ask("GET", f"/r/concerns/{receipt}", role=None, headers={"cookie": cookie})
    token = field(page, "token")
    found = json.loads(at.services.answers["cases", "/concerns/seen"].body)
    found["concern"]["can"] = ["supply", "rate"]
    at.services.answers["cases", "/concerns/seen"] = answer(200, found)
    at.post.outcome = refused("conflict")
    said = await sent(
        at, f"/r/concerns/{receipt}/supply", {"text": "在东门口", "token": token}, cookie=cookie
    )
    assert (said.status, "在东门口</textarea>" in said.raw.decode()) == (409, True)
    none = await sent(at, f"/r/concerns/{receipt}/rate", {"attitude": "3", "token": token}, cookie=cookie)
    assert (none.status, words("zh")["fault.rate.missing"] in none.raw.decode()) == (422, True)


async def test_a_wrong_link_or_number_is_a_page_for_people_and_a_problem_for_programs(at: Door) -> None:
    at.services.answers["cases", "/concerns/seen"] = answer(404, {})
    shown = await at.ask("GET", f"/f/{'0' * 26}", role=None, headers={"accept": "text/html"})
    assert (shown.status, words("zh")["problem.follow-unknown"] in shown.raw.decode()) == (404, True)
    assert (await at.ask("GET", f"/f/{'0' * 26}", role=None)).code == "follow-unknown"
    typed = await sent(at, "/r/", {"receipt": "K7QX-2M9D-4T18", "secret": "0" * 26})
    assert (typed.status, field(typed, "receipt")) == (404, "K7QX-2M9D-4T18")


async def test_after_a_form_that_failed_the_other_language_is_the_concerns_own_page(at: Door) -> None:
    receipt, cookie = await submitted(at)
    page = await at.ask("GET", f"/r/concerns/{receipt}", role=None, headers={"cookie": cookie})
    form = {"token": field(page, "token")}
    said = await sent(at, f"/r/concerns/{receipt}/withdraw", form, cookie=cookie)
    assert (said.status, words("zh")["fault.sure"] in said.raw.decode()) == (422, True)
    linked = re.search(r'href="([^"]+)" lang="en"', said.raw.decode())
    assert linked is not None
    assert linked[1] == f"/r/concerns/{receipt}?lang=en"
    other = await at.ask("GET", linked[1], role=None, headers={"cookie": cookie})
    assert (other.status, words("en")["concern.title"] in other.raw.decode()) == (200, True)


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", "/r/no/such/page", 404, "problem.not-found"),
        ("GET", "/r/no%20code", 422, "problem.invalid-request"),
        ("GET", "/r/concerns/K7QX-2M9D-4T18/withdraw", 405, "problem.method-not-allowed"),
        ("GET", f"/r/{CODE}", 500, "problem.internal-error"),
        ("POST", f"/r/{CODE}", 413, "problem.too-large"),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_error_under_the_residents_address_is_a_page_in_their_language(
    at: Door,
    monkeypatch: pytest.MonkeyPatch,
    language: Language,
    method: str,
    path: str,
    status: int,
    word: str,
) -> None:
    secret = "of nobody's business"

    async def fails(*_: Any, **__: Any) -> Answer:
        raise RuntimeError(secret)

    if status == 500:
        monkeypatch.setattr(at.services, "ask", fails)
    headers = {"accept-language": language, "content-length": "99999999" if status == 413 else "0"}
    said = await at.ask(method, path, role=None, headers=headers)
    text = html.unescape(said.raw.decode())
    assert said.status == status
    assert said.headers["content-type"].startswith("text/html")
    assert words(language)[word] in text
    assert secret not in text
    assert re.search("traceback|internal-error|urn:", text, re.IGNORECASE) is None


def test_both_languages_have_the_same_words_with_the_same_gaps_and_every_state_and_step_has_one() -> None:
    chinese, english = words("zh"), words("en")
    assert list(chinese) == list(english)
    gaps = re.compile(r"\{(\w+)\}")
    assert [key for key in chinese if gaps.findall(chinese[key]) != gaps.findall(english[key])] == []
    assert {key for state in STATES for key in (f"state.{state}", f"meaning.{state}")} <= set(chinese)
    assert {f"step.{step}" for step in STEPS} <= set(chinese)
    assert {f"ground.{code}" for code in SENTENCES} <= set(chinese)


def test_no_word_of_a_page_stands_in_a_template_or_in_code() -> None:
    named = {"中文"}
    for path in (*HERE.glob("*.html"), HERE / "routes.py"):
        text = re.sub("|".join(named), "", Path(path).read_text("utf-8"))
        assert re.findall(r"[\u4e00-\u9fff]+", re.sub(r'""".*?"""', "", text, flags=re.DOTALL)) == [], path


def test_every_word_that_a_template_asks_for_is_there_and_none_is_left_over() -> None:
    texts = [path.read_text("utf-8") for path in (*HERE.glob("*.html"), HERE / "routes.py")]
    asked = {key for text in texts for key in re.findall(r"['\"]((?:[a-z-]+\.)+[\w-]+)['\"]", text)}
    made = {part for text in texts for part in re.findall(r"['\"]((?:[a-z-]+\.)+)['\"] ~", text)}
    made |= {"problem.", "fault."}  # by their codes, and by field and kind of fault
    known = set(words("zh"))
    dotted = {key for key in asked if key.split(".")[0] in {one.split(".")[0] for one in known}}
    assert {key for key in dotted if not key.endswith((".html", ".css"))} <= known
    assert {key for key in known - asked if not key.startswith(tuple(made))} == set()


async def test_a_routing_is_explained_in_the_readers_language_and_never_by_the_services_own_sentence(
    at: Door,
) -> None:
    receipt, cookie = await submitted(at)
    why = [
        {
            "code": "judged",
            "about": {"category": "城乡建设<b>", "classifier": "words-1", "confidence": "0.91"},
        },
        {"code": "county", "about": {"place": "330203"}},
        {"code": "not-active", "about": {"department": "housing"}},
        {"code": "of-a-later-version", "about": {}},
    ]
    step = {"step": "routed", "title": "派单", "department": "housing", "at": "2026-11-03T09:00:00Z"}
    steps = [
        {**step, "text": None, "reason": "category by words-1; serves county 330203", "why": why},
    ]
    concern_seen = {**SEEN, "receipt": read_receipt(receipt), "state": "routed", "steps": steps}
    seen = {"case_id": str(uuid4()), "concern": concern_seen}
    at.services.answers["cases", "/concerns/seen"] = answer(200, seen)
    for language, sentence in {
        "zh": "类别“城乡建设&lt;b&gt;”由系统判定；该单位负责海曙区；住建局已停用，未派",
        "en": "the system found the category 城乡建设&lt;b&gt;; the department serves 海曙区; 住建局 is no longer active",
    }.items():
        headers = {"cookie": cookie}
        said = await at.ask("GET", f"/r/concerns/{receipt}?lang={language}", role=None, headers=headers)
        page = said.raw.decode()
        assert sentence in page
        assert "serves county 330203" not in page
