package webhook

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealprint/sealprint/storage"
)

// listen counts connections to an address of this machine. If there is no such address, there are none.
func listen(t *testing.T, address string) (port string, connections *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Logf("no listener at %s: %v", address, err)
		return "1", new(atomic.Int32)
	}
	connections = new(atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, connections
}

func try(t *testing.T, url string, allowed ...netip.Prefix) answer {
	t.Helper()
	d := New(nil, Options{Allowed: allowed})
	d.timing.attempt = 2 * time.Second
	return d.attempt(t.Context(), &storage.Webhook{URL: url, Secret: NewSecret()}, storage.Event{ID: "evt_a"}, time.Now())
}

// Nothing inside the network gets a connection, however it is named.
func TestGuard(t *testing.T) {
	t.Parallel()
	port4, connections4 := listen(t, "127.0.0.1")
	port6, connections6 := listen(t, "::1")
	for _, host := range []string{
		"127.0.0.1:" + port4, "127.8.9.10:" + port4, "[::ffff:127.0.0.1]:" + port4, "[::1]:" + port6, "localhost:" + port4, "localhost:" + port6, "LOCALHOST:" + port4,
		"0.0.0.0:" + port4, "[::]:" + port6, "[::ffff:7f00:1]:" + port4,
		"169.254.169.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "192.0.2.1", "224.0.0.1", "255.255.255.255",
		"[fe80::1]", "[fc00::1]", "[fd12::1]", "[ff02::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001::1]", "[::127.0.0.1]", "[::ffff:169.254.169.254]",
	} {
		for _, scheme := range []string{"http://", "https://"} {
			if got := try(t, scheme+host+"/"); got.failure != notAllowed || got.status != 0 {
				t.Errorf("%s%s: %+v", scheme, host, got)
			}
			// Allowing one network allows no other.
			if got := try(t, scheme+host+"/", netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd99::/64")); got.failure != notAllowed {
				t.Errorf("%s%s with other networks allowed: %+v", scheme, host, got)
			}
		}
	}
	if connections4.Load()+connections6.Load() != 0 {
		t.Errorf("%d and %d connections", connections4.Load(), connections6.Load())
	}
	// That listener would have noticed.
	for _, host := range []string{"127.0.0.1:", "[::ffff:127.0.0.1]:", "localhost:"} {
		before := connections4.Load()
		if got := try(t, "http://"+host+port4, netip.MustParsePrefix("127.0.0.0/8")); got.failure == notAllowed || connections4.Load() == before {
			t.Errorf("%s allowed: %+v, %d connections", host, got, connections4.Load()-before)
		}
	}
}

// What is public is spoken to by TLS only, on any port. Nothing is sent to find out: the
// guards are asked.
func TestPublic(t *testing.T) {
	t.Parallel()
	allowed := []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd99::/64")}
	secure, plain := guards(allowed)
	for address, want := range map[string]struct{ secure, plain bool }{
		"tcp4 93.184.216.34:443": {true, false}, "tcp4 93.184.216.34:8443": {true, false}, "tcp6 [2606:2800:220:1::1]:443": {true, false},
		"tcp4 10.9.1.2:8080": {true, true}, "tcp6 [fd99::1]:80": {true, true}, "tcp4 10.8.1.2:443": {false, false}, "tcp6 [fd98::1]:80": {false, false},
		"udp4 93.184.216.34:443": {false, false},
	} {
		network, hostPort, _ := strings.Cut(address, " ")
		if got := secure.Safe(network, hostPort, nil) == nil; got != want.secure {
			t.Errorf("%s by TLS: %t", address, got)
		}
		if got := plain.Safe(network, hostPort, nil) == nil; got != want.plain {
			t.Errorf("%s without: %t", address, got)
		}
	}
	client := newClient(nil)
	if client.Transport.(*http.Transport).Proxy != nil || newTransport(plain).Proxy != nil {
		t.Error("a proxy would connect for whoever asks")
	}
}

// A redirect leads nowhere, least of all inside.
func TestRedirect(t *testing.T) {
	t.Parallel()
	port, inside := listen(t, "127.0.0.2")
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path != "/hook" {
				t.Errorf("followed to %s", q.URL)
			}
			for _, to := range []string{"http://127.0.0.2:" + port + "/", "/elsewhere"} {
				w.Header().Add("Location", to)
			}
			w.WriteHeader(status)
		}))
		if got := try(t, server.URL+"/hook", local...); got.status != status || !strings.HasSuffix(got.failure, "redirects are not followed") {
			t.Errorf("%d: %+v", status, got)
		}
		server.Close()
	}
	if n := inside.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	allowed := []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd99::/64")}
	for raw, want := range map[string]struct{ none, some bool }{ // without and with allowed networks
		"https://example.com":                        {true, true},
		"https://example.com:8443/a/b?c=d":           {true, true},
		"HTTPS://EXAMPLE.COM/":                       {true, true},
		"https://93.184.216.34/":                     {true, true},
		"https://[2606:2800:220:1::1]/":              {true, true},
		"https://[::ffff:93.184.216.34]/":            {true, true},
		"https://localhost/":                         {true, true}, // a name like others
		"http://example.com/":                        {false, true},
		"http://93.184.216.34/":                      {false, false},
		"http://10.9.1.2:8080/":                      {false, true},
		"https://10.9.1.2/":                          {false, true},
		"http://[::ffff:10.9.1.2]/":                  {false, true},
		"http://[fd99::1]/":                          {false, true},
		"https://10.8.1.2/":                          {false, false},
		"https://127.0.0.1/":                         {false, false},
		"https://[::ffff:127.0.0.1]/":                {false, false},
		"https://[::1]/":                             {false, false},
		"https://[fe80::1%25eth0]/":                  {false, false},
		"https://169.254.169.254/":                   {false, false},
		"":                                           {false, false},
		"example.com/":                               {false, false},
		"//example.com/":                             {false, false},
		"/hook":                                      {false, false},
		"https:example.com":                          {false, false},
		"https:///hook":                              {false, false},
		"https://:443/":                              {false, false},
		"https://example.com:0/":                     {false, false},
		"https://example.com:65536/":                 {false, false},
		"https://example.com:x/":                     {false, false},
		"https://user:pass@example.com/":             {false, false},
		"https://user@example.com/":                  {false, false},
		"https://example.com/#part":                  {false, false},
		"ftp://example.com/":                         {false, false},
		"file:///etc/passwd":                         {false, false},
		"https://exa mple.com/":                      {false, false},
		"https://example.com/\n":                     {false, false},
		"https://e.com/" + strings.Repeat("a", 2034): {true, true},
		"https://e.com/" + strings.Repeat("a", 2035): {false, false},
	} {
		for _, test := range []struct {
			allowed []netip.Prefix
			want    bool
		}{{nil, want.none}, {allowed, want.some}} {
			err := checkURL(raw, test.allowed)
			if (err == nil) != test.want {
				t.Errorf("%.60q with %v allowed: %v", raw, test.allowed, err)
			}
			if err != nil && strings.Contains(err.Error(), "pass@") {
				t.Errorf("%v quotes a password", err)
			}
		}
	}
}
