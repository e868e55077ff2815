"""Somebody with a browser that runs no scripts: he follows redirects, keeps cookies, fills in forms and reads his mail.

He is given an authorization request and comes back with what it was answered at the redirect URI. The pages may look as they
like: he looks for an input that wants an address, or a code, and presses the button of its form.
"""

import html.parser
import http.cookiejar
import json
import urllib.error
import urllib.parse
import urllib.request

# Redirects and forms on the way from a request to its answer; more is a circle.
STEPS = 12


class Form:
    """A form of a page: where it goes, and what it holds."""

    def __init__(self, attributes):
        self.action = attributes.get("action") or ""
        self.method = (attributes.get("method") or "get").lower()
        self.fields = {}
        self.address_field = None
        self.code_field = None

    def add(self, attributes):
        name = attributes.get("name")
        if not name:
            return
        kind = (attributes.get("type") or "text").lower()
        wants = (attributes.get("autocomplete") or "").lower()
        if kind == "email" or "email" in wants or "username" in wants:
            self.address_field = name
        elif "one-time-code" in wants:
            self.code_field = name
        if kind not in ("submit", "button", "checkbox", "radio"):
            self.fields[name] = attributes.get("value") or ""


class Forms(html.parser.HTMLParser):
    """The forms of a page."""

    def __init__(self, page):
        super().__init__()
        self.forms = []
        self.is_inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "form":
            self.forms.append(Form(dict(attrs)))
            self.is_inside = True
        elif tag == "input" and self.is_inside:
            self.forms[-1].add(dict(attrs))

    def handle_endtag(self, tag):
        if tag == "form":
            self.is_inside = False


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """He looks where he is sent before he goes."""

    def redirect_request(self, *_):
        return None


class Person:
    def __init__(self, origin, address):
        self.origin = origin
        self.address = address
        self.opener = urllib.request.build_opener(
            NoRedirects, urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )

    def open(self, url, form=None):
        """Status, headers and text of what is at `url`; with `form`, of what a form sent there gets."""
        body = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(url, data=body)
        if body is not None:
            # As a browser says it of a page's own form.
            request.add_header("Origin", self.origin)
            request.add_header("Sec-Fetch-Site", "same-origin")
        try:
            answer = self.opener.open(request, timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.headers, answer.read().decode()

    def mailed_code(self):
        """The code of the newest mail to him."""
        query = urllib.parse.urlencode({"to": self.address})
        with urllib.request.urlopen(f"{self.origin}/dev/messages?{query}", timeout=10) as answer:
            messages = json.load(answer)
        assert messages, f"no mail went to {self.address}"
        return messages[0]["code"]

    def authorize(self, parameters):
        """Answers an authorization request by signing in; the parameters that come back to the redirect URI."""
        url = f"{self.origin}/oauth/v2/authorize?{urllib.parse.urlencode(parameters)}"
        url = self.follow(url, parameters["redirect_uri"])
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))

    def follow(self, url, back):
        """Goes where he is sent and signs in where he is asked to, until he is sent to a URL that begins with `back`: that URL."""
        form = None
        for _ in range(STEPS):
            status, headers, page = self.open(url, form)
            if status in (302, 303):
                url, form = urllib.parse.urljoin(url, headers["location"]), None
                if url.startswith(back):
                    return url
                continue
            assert status == 200, f"{status} at {url}: {page}"
            url, form = self.fill_in(url, page)
        raise AssertionError(f"going round in circles at {url}")

    def fill_in(self, url, page):
        """Where the form of a page goes, and what with, once he has filled it in."""
        forms = [form for form in Forms(page).forms if form.address_field or form.code_field]
        assert forms, f"nothing to fill in at {url}: {page}"
        form = forms[0]
        assert form.method == "post", f"a form at {url} puts what it holds into a URL"
        if form.code_field:
            form.fields[form.code_field] = self.mailed_code()
        else:
            form.fields[form.address_field] = self.address
        return urllib.parse.urljoin(url, form.action), form.fields
