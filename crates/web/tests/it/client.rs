//! Whose address it is: tables of headers, honest and not.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, Uri};
use web::client::{Network, USER_AGENT_LENGTH, request_origin};
use web::{Client, Peer, TrustedProxies};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn trusted() -> TrustedProxies {
    TrustedProxies::parse(["10.0.0.0/8", " 192.0.2.1 ", "2001:db8:1::/48"]).unwrap()
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn forwarded_addresses_are_believed_as_far_as_the_trusted_chain_reaches() {
    let table: [(&str, &[&'static str], &str, &str); 18] = [
        ("203.0.113.9", &[], "203.0.113.9", "a client of its own"),
        ("203.0.113.9", &["198.51.100.1"], "203.0.113.9", "a header from anybody says nothing"),
        ("10.1.2.3", &[], "10.1.2.3", "a proxy that says nothing"),
        ("10.1.2.3", &["203.0.113.9"], "203.0.113.9", "one hop"),
        ("10.1.2.3", &["198.51.100.66, 203.0.113.9"], "203.0.113.9", "spoofed before the proxy"),
        ("10.1.2.3", &["127.0.0.1, 10.0.0.1, 203.0.113.9"], "203.0.113.9", "spoofed with a trusted address"),
        ("10.1.2.3", &["198.51.100.66, 203.0.113.9, 192.0.2.1"], "203.0.113.9", "two trusted hops"),
        ("10.1.2.3", &["198.51.100.66", "203.0.113.9, 10.9.9.9"], "203.0.113.9", "several lines"),
        ("10.1.2.3", &["203.0.113.9", "10.9.9.9"], "203.0.113.9", "the walk crosses lines"),
        ("10.1.2.3", &["10.7.7.7, 10.8.8.8"], "10.7.7.7", "it began inside"),
        ("10.1.2.3", &["203.0.113.9, unknown"], "10.1.2.3", "a hop that hides ends the walk"),
        ("10.1.2.3", &["203.0.113.9, 10.9.9.9, , 10.8.8.8"], "10.8.8.8", "so does an empty one"),
        ("10.1.2.3", &["203.0.113.9:4711"], "203.0.113.9", "with a port"),
        ("10.1.2.3", &["[2001:db8:9::7]:4711"], "2001:db8:9::7", "IPv6 with a port"),
        ("10.1.2.3", &["[2001:db8:9::7]"], "2001:db8:9::7", "IPv6 in brackets"),
        ("2001:db8:1::5", &["2001:db8:9::7, 2001:db8:1::6"], "2001:db8:9::7", "IPv6 all along"),
        ("::ffff:10.1.2.3", &["::ffff:203.0.113.9"], "203.0.113.9", "IPv4 in IPv6 clothes"),
        ("::ffff:203.0.113.9", &["198.51.100.1"], "203.0.113.9", "clothes make no proxy"),
    ];
    for (peer, lines, expected, why) in table {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let client = Client::of(Peer::Network(address(peer)), &headers(&lines), &trusted());
        assert_eq!(client.address, Some(address(expected)), "{why}");
    }
    let mut odd = HeaderMap::new();
    odd.insert("x-forwarded-for", HeaderValue::from_bytes(b"203.0.113.9, \xff").unwrap());
    let client = Client::of(Peer::Network(address("10.1.2.3")), &odd, &trusted());
    assert_eq!(client.address, Some(address("10.1.2.3")));
}

#[test]
fn nobody_is_trusted_unless_named_and_a_unix_socket_has_no_address() {
    let spoofed = headers(&[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")]);
    for peer in ["127.0.0.1", "::1", "10.0.0.1"] {
        let client = Client::of(Peer::Network(address(peer)), &spoofed, &TrustedProxies::none());
        assert_eq!(client.address, Some(address(peer)));
    }
    assert_eq!(Client::of(Peer::Local, &spoofed, &trusted()).address, None);
    let dual: SocketAddr = "[::ffff:192.0.2.7]:1234".parse().unwrap();
    assert_eq!(Peer::from(dual), Peer::Network(address("192.0.2.7")));
}

#[test]
fn a_user_agent_is_bounded_and_has_no_control_characters() {
    let of = |bytes: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_bytes(bytes).unwrap());
        Client::of(Peer::Local, &headers, &TrustedProxies::none()).user_agent
    };
    assert_eq!(of(b" curl/8.5 ").as_deref(), Some("curl/8.5"));
    assert_eq!(of(b""), None);
    assert_eq!(of(b"a\tb").as_deref(), Some("ab"));
    assert_eq!(of(b"\xff\xfe").as_deref(), Some("\u{fffd}\u{fffd}"));
    assert_eq!(of("ü".repeat(10_000).as_bytes()).unwrap().chars().count(), USER_AGENT_LENGTH);
    let client = Client { address: Some(address("192.0.2.7")), user_agent: Some("x".into()) };
    let told = client.for_engine();
    assert_eq!((told.address, told.user_agent), (client.address, Some("x")));
}

#[test]
fn networks_hold_what_they_should() {
    let table = [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "::ffff:10.1.1.1", true),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "203.0.113.9", false),
        ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7/32", "192.0.2.8", false),
        ("192.0.2.6/31", "192.0.2.7", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("::1", "::1", true),
        ("::ffff:10.0.0.0/104", "10.9.9.9", true),
        ("::ffff:192.0.2.7", "192.0.2.7", true),
    ];
    for (network, candidate, inside) in table {
        let parsed: Network = network.parse().unwrap();
        assert_eq!(parsed.contains(address(candidate)), inside, "{candidate} in {network}");
    }
    assert_eq!("::ffff:10.0.0.0/104".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
    let malformed = [
        "",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "::/129",
        "10.0.0/8",
        "example.com",
        "10.0.0.0/+8",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
    ];
    for text in malformed {
        let error = text.parse::<Network>().unwrap_err().to_string();
        assert!(error.contains("is no network"), "{text}: {error}");
    }
    let error = TrustedProxies::parse(["10.0.0.0/8", "10.1.2.3/16"]).unwrap_err();
    assert_eq!(error.to_string(), "`10.1.2.3/16` has bits beyond its prefix; write 10.1.0.0/16, or the address alone");
}

#[test]
fn the_request_origin_believes_headers_of_trusted_peers_and_in_development_of_loopback() {
    let of = |peer: &str, uri: &str, pairs: &[(&'static str, &'static str)], development: bool| {
        let uri: Uri = uri.parse().unwrap();
        request_origin(Peer::Network(address(peer)), &uri, &headers(pairs), &trusted(), development)
            .map(|origin| origin.to_string())
    };
    let forwarded = [("host", "inner:8080"), ("x-forwarded-host", "Outer.Example.com"), ("x-forwarded-proto", "https")];
    let table = [
        ("10.1.2.3", false, "https://outer.example.com"),
        ("127.0.0.1", false, "http://inner:8080"),
        ("127.0.0.1", true, "https://outer.example.com"),
        ("::1", true, "https://outer.example.com"),
        ("203.0.113.9", true, "http://inner:8080"),
    ];
    for (peer, development, expected) in table {
        assert_eq!(of(peer, "/", &forwarded, development).as_deref(), Some(expected), "{peer} {development}");
    }
    let local = request_origin(Peer::Local, &Uri::from_static("/"), &headers(&forwarded), &trusted(), true);
    assert_eq!(local.unwrap().as_str(), "http://inner:8080");

    assert_eq!(of("203.0.113.9", "http://Example.com:80/x", &[], false).as_deref(), Some("http://example.com"));
    assert_eq!(of("203.0.113.9", "/", &[("host", "[::1]:8080")], false).as_deref(), Some("http://[::1]:8080"));
    let https = [("host", "a.example:443"), ("x-forwarded-proto", "http, HTTPS")];
    assert_eq!(of("10.1.2.3", "/", &https, false).as_deref(), Some("https://a.example"));
    let appended = [("host", "a"), ("x-forwarded-host", "evil.example, good.example")];
    assert_eq!(of("10.1.2.3", "/", &appended, false).as_deref(), Some("http://good.example"));

    for host in ["user@evil.example", "evil.example/path", "a b", "evil.example?x", "a%2eb", "", "a,b", "a'b"] {
        assert_eq!(of("203.0.113.9", "/", &[("host", host)], false), None, "{host}");
    }
    assert_eq!(of("203.0.113.9", "/", &[], false), None);
    assert_eq!(of("10.1.2.3", "/", &[("host", "a"), ("x-forwarded-proto", "javascript")], false), None);
}
