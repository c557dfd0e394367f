package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"code.dny.dev/ssrf"
)

const (
	// maxURL bounds the address of a webhook: what servers commonly take.
	maxURL = 2048
	// idleTime is how long a connection waits for the next event. Servers close theirs after
	// a minute or so.
	idleTime = time.Minute

	notAllowed = "address not allowed"
)

// guards judge addresses: those that may be spoken to by TLS, public and allowed ones, and
// those that may be spoken to without. The library has the registries of addresses for
// special purposes, which package netip knows a part of: not shared, reserved and
// benchmarking ones, nor those that lead to IPv4 through a gateway.
func guards(allowed []netip.Prefix) (secure, plain *ssrf.Guardian) {
	// It looks for addresses of either version in its own list, and finds no others there.
	options := []ssrf.Option{ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(allowed...), ssrf.WithAllowedV6Prefixes(allowed...)}
	secure = ssrf.New(options...)
	plain = ssrf.New(append(options,
		ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("0.0.0.0/0")), ssrf.WithDeniedV6Prefixes(netip.MustParsePrefix("::/0")))...)
	return secure, plain
}

// newClient makes a client that connects to nothing else, whatever names resolve to.
func newClient(allowed []netip.Prefix) *http.Client {
	secure, plain := guards(allowed)
	t := newTransport(secure)
	t.RegisterProtocol("http", newTransport(plain))
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newTransport makes a transport without a proxy. How long things take is for the context.
func newTransport(guard *ssrf.Guardian) *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Control: guard.Safe}).DialContext,
		MaxIdleConnsPerHost:    perWebhook,
		IdleConnTimeout:        idleTime,
		DisableCompression:     true, // nobody looks at it
		MaxResponseHeaderBytes: maxAnswer,
	}
}

// checkURL reports whether a webhook may have an address of HTTP, in words for whoever subscribes.
// Names are not resolved: what they resolve to is judged at every delivery. A name may be
// spoken to by plain HTTP if there are allowed networks, in which it then has to be.
func checkURL(raw string, allowed []netip.Prefix) error {
	if len(raw) > maxURL {
		return fmt.Errorf("address of webhook: longer than %d bytes", maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("address of webhook: not a URL") // the error quotes it, with a password that may stand in it
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("address of webhook: need https://host, mailto:user@host or, in allowed networks, http://host")
	case u.Hostname() == "" || u.Opaque != "":
		return errors.New("address of webhook: no host")
	case u.Port() != "" && (err != nil || port == 0):
		return errors.New("address of webhook: no such port")
	case u.User != nil:
		return errors.New("address of webhook: user and password are not sent")
	case u.Fragment != "" || u.RawFragment != "":
		return errors.New("address of webhook: a fragment is not sent")
	}
	secure, plain := guards(allowed)
	guard := secure
	if u.Scheme == "http" {
		guard = plain
	}
	address, err := netip.ParseAddr(u.Hostname())
	switch {
	case err == nil && guard.SafeAddr(address.Unmap()) == nil:
		return nil
	case err == nil && secure.SafeAddr(address.Unmap()) != nil:
		return errors.New("address of webhook: " + notAllowed)
	case u.Scheme == "http" && (err == nil || len(allowed) == 0):
		return errors.New("address of webhook: need https://")
	}
	return nil
}
