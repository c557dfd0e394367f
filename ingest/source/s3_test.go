package source_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/source"
	"github.com/sealprint/sealprint/ingest/source/sourcetest"
)

func config(s *sourcetest.Server, bucket string) source.S3Config {
	return source.S3Config{
		Endpoint: s.Endpoint, Region: sourcetest.Region, Bucket: bucket,
		AccessKey: sourcetest.AccessKey, SecretKey: sourcetest.SecretKey,
	}
}

func open(t *testing.T, c source.S3Config) *source.S3 {
	t.Helper()
	s, err := source.NewS3(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// list returns what is listed before the error.
func list(s ingest.Source, prefix, after string) (objects []ingest.Object, err error) {
	for o, err := range s.List(context.Background(), prefix, after) {
		if err != nil {
			return objects, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

func keys(objects []ingest.Object) (keys []string) {
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys
}

func read(s ingest.Source, o ingest.Object) (string, error) {
	content, err := s.Open(context.Background(), o)
	if err != nil {
		return "", err
	}
	defer content.Close()
	b, err := io.ReadAll(content)
	return string(b), err
}

// Names that clients, people and scripts give objects: what is escaped in a URL,
// what sorts around the slash, and what is not ASCII.
var names = []string{
	"a", "a b", "a!", "a%20b", "a%2Fb", "a&b=c", "a'b", `a"b`, "a(b)", "a*", "a+b", "a,b", "a-b", "a-b/c", "a.b", "a.b/c",
	"a/b.c", "a/b/c", "a/b-c", "a/b c", "a0", "a:b", "a;b", "a=b", "a?b#c", "a@b", "A", "B/x", "a[b]", "a\\b", "a^b", "a_b", "a`b", "a{b}", "a|b", "a~b",
	"بجٹ/مالی سال ۲۰۲۶.txt", "بجٹ.txt", "é/x", "e\u0301/x", "日本", "𝔘", "z <b>&amp;", "\u200f.txt",
}

// The checkpoint of a registration rests on the order of the listing.
func TestListOrder(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	contents := map[string]string{}
	for _, n := range names {
		if n != "a" && n != "a-b" && n != "a.b" && n != "a/b" { // this server keeps no object beside a folder of the same name
			contents[n] = "content of " + n
		}
	}
	bucket := server.Bucket(t, "order")
	server.PutAll(t, bucket, contents)
	s := open(t, config(server, bucket))
	var want []string
	for n := range contents {
		want = append(want, n)
	}
	slices.Sort(want)

	objects, err := list(s, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := keys(objects); !slices.Equal(got, want) {
		t.Fatalf("listed\n%q, want\n%q", got, want)
	}
	for i, o := range objects {
		if o.ETag == "" || strings.Contains(o.ETag, `"`) || o.Size != int64(len(contents[o.Key])) || o.Modified.IsZero() {
			t.Errorf("%q is described as %+v", o.Key, o)
		}
		if got, err := read(s, o); err != nil || got != contents[o.Key] {
			t.Errorf("%q holds %q, %v", o.Key, got, err)
		}
		if same, err := s.Stat(t.Context(), o.Key); err != nil || same.ETag != o.ETag || same.Size != o.Size || same.Key != o.Key {
			t.Errorf("%q is listed as %+v, and looked at %+v, %v", o.Key, o, same, err)
		}
		if key, ok := s.Key(s.URI(o.Key)); !ok || key != o.Key {
			t.Errorf("%q is %q after a round trip", o.Key, key)
		}
		rest, err := list(s, "", o.Key)
		if got := keys(rest); err != nil || !slices.Equal(got, want[i+1:]) {
			t.Errorf("after %q came\n%q, %v, want\n%q", o.Key, got, err, want[i+1:])
		}
	}
	for _, prefix := range []string{"a", "a/", "a/b", "a%", "a+", "A", "بجٹ", "بجٹ/", "e", "none", want[7]} {
		var below []string
		for _, n := range want {
			if strings.HasPrefix(n, prefix) {
				below = append(below, n)
			}
		}
		objects, err := list(s, prefix, "")
		if got := keys(objects); err != nil || !slices.Equal(got, below) {
			t.Errorf("below %q are\n%q, %v, want\n%q", prefix, got, err, below)
		}
		if len(below) > 1 {
			objects, err := list(s, prefix, below[0])
			if got := keys(objects); err != nil || !slices.Equal(got, below[1:]) {
				t.Errorf("below %q after the first are\n%q, %v, want\n%q", prefix, got, err, below[1:])
			}
		}
	}
	// A key that is not there is as good a place to go on from.
	rest, err := list(s, "", "a/b/")
	if first, _ := slices.BinarySearch(want, "a/b/"); err != nil || !slices.Equal(keys(rest), want[first:]) {
		t.Errorf("after \"a/b/\" came %q, %v", keys(rest), err)
	}
}

// A listing is pages of a thousand; their seams do not show.
func TestListPages(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "pages")
	contents := map[string]string{}
	for i := range 1030 {
		contents[fmt.Sprintf("%02d/%03d", i/100, i%100)] = ""
	}
	server.PutAll(t, bucket, contents)
	s := open(t, config(server, bucket))
	objects, err := list(s, "", "")
	if got := keys(objects); err != nil || len(got) != len(contents) || !slices.IsSorted(got) {
		t.Errorf("listed %d of %d objects, in order %v, %v", len(got), len(contents), slices.IsSorted(got), err)
	}
	for range s.List(t.Context(), "", "") {
		break // who has seen enough may stop
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err = range s.List(ctx, "", "") {
		if n++; n == 10 {
			cancel()
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a listing that is broken off after 10 ended after %d with %v", n, err)
	}
}

func TestChangedMeanwhile(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "changed")
	server.PutAll(t, bucket, map[string]string{"changed": "before", "gone": "before", "same": "before"})
	s := open(t, config(server, bucket))
	objects, err := list(s, "", "")
	if err != nil || len(objects) != 3 {
		t.Fatal(objects, err)
	}
	server.Put(t, bucket, "changed", "behind") // as long
	server.Put(t, bucket, "same", "before")
	server.Remove(t, bucket, "gone")
	for i, want := range []error{ingest.ErrChanged, ingest.ErrChanged, nil} {
		if got, err := read(s, objects[i]); !errors.Is(err, want) || want == nil && got != "before" {
			t.Errorf("%q gave %q, %v; want %v", objects[i].Key, got, err, want)
		}
	}
	if _, err := s.Stat(t.Context(), "gone"); !errors.Is(err, ingest.ErrChanged) {
		t.Errorf("looked at an object that is gone: %v", err)
	}
	if o, err := s.Stat(t.Context(), "changed"); err != nil || o.ETag == objects[0].ETag {
		t.Errorf("looked at an object that was changed: %+v, %v", o, err)
	} else if got, err := read(s, o); err != nil || got != "behind" {
		t.Errorf("the object as it was looked at gave %q, %v", got, err)
	}
}

// What no waiting mends is told at once, in words of the store, and no secret is
// among them.
func TestRefusals(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "refusals")
	server.Put(t, bucket, "a", "x")
	const secret = "not the secret of it"
	for _, test := range []struct {
		name   string
		change func(*source.S3Config)
		want   string
	}{
		{"wrong secret", func(c *source.S3Config) { c.SecretKey = secret }, "SignatureDoesNotMatch"},
		{"unknown access key", func(c *source.S3Config) { c.AccessKey, c.SecretKey = "somebody", secret }, "XAdminUserNotFound"},
		{"no bucket", func(c *source.S3Config) { c.Bucket = "no-such-bucket" }, "bucket no-such-bucket does not exist"},
	} {
		for _, region := range []string{sourcetest.Region, ""} {
			c := config(server, bucket)
			test.change(&c)
			c.Region = region
			s := open(t, c)
			_, listed := list(s, "", "")
			_, opened := read(s, ingest.Object{Key: "a"})
			put := s.Put(t.Context(), "b", strings.NewReader("x"), 1)
			for operation, err := range map[string]error{"list": listed, "open": opened, "put": put} {
				if err == nil || errors.Is(err, ingest.ErrUnavailable) || errors.Is(err, ingest.ErrChanged) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%s, region %q: %s answered %v, want %q", test.name, region, operation, err, test.want)
				}
				if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), c.SecretKey) || strings.Contains(err.Error(), c.AccessKey)) {
					t.Errorf("%s: %s repeats a credential: %v", test.name, operation, err)
				}
			}
			// The answer to a look at an object has no body, so it can be told that
			// waiting will not mend it, and no more.
			if _, err := s.Stat(t.Context(), "a"); err == nil || errors.Is(err, ingest.ErrUnavailable) {
				t.Errorf("%s, region %q: stat answered %v", test.name, region, err)
			}
		}
	}
	for _, c := range []source.S3Config{
		{Bucket: "b"},
		{Endpoint: "127.0.0.1:9000", Bucket: "b"},
		{Endpoint: "ftp://127.0.0.1", Bucket: "b"},
		{Endpoint: "http://127.0.0.1/path", Bucket: "b"},
		{Endpoint: "http://127.0.0.1"},
	} {
		if _, err := source.NewS3(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// What waiting may mend is told apart.
func TestOutages(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "outages")
	large := strings.Repeat("0123456789abcdef", 1<<20) // more than sockets hold
	server.Put(t, bucket, "large", large)
	s := open(t, config(server, bucket))
	o, err := s.Stat(t.Context(), "large")
	if err != nil {
		t.Fatal(err)
	}
	content, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if _, err := io.ReadFull(content, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if n, err := io.Copy(io.Discard, content); !errors.Is(err, ingest.ErrUnavailable) {
		t.Errorf("an object whose server was killed gave %d of %d bytes and %v", n+1000, len(large), err)
	}
	_, listed := list(s, "", "")
	_, opened := read(s, o)
	_, looked := s.Stat(t.Context(), "large")
	put := s.Put(t.Context(), "b", strings.NewReader("x"), 1)
	for operation, err := range map[string]error{"list": listed, "open": opened, "stat": looked, "put": put} {
		if !errors.Is(err, ingest.ErrUnavailable) {
			t.Errorf("without a server, %s answered %v", operation, err)
		}
	}
	server.Restart()
	if got, err := read(s, o); err != nil || got != large {
		t.Errorf("after a restart the object gave %d bytes, %v", len(got), err)
	}
}

// stub answers everything as a store or a proxy in front of it may.
func stub(t *testing.T, answer http.HandlerFunc) *source.S3 {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return open(t, source.S3Config{Endpoint: server.URL, Region: "us-east-1", Bucket: "bucket", AccessKey: "access", SecretKey: "secret123"})
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const chatter = "chatter of the store"
	for _, test := range []struct {
		status int
		code   string
		kind   error // nil: permanent
	}{
		{503, "SlowDown", ingest.ErrUnavailable},
		{500, "InternalError", ingest.ErrUnavailable},
		{502, "", ingest.ErrUnavailable},
		{429, "TooManyRequests", ingest.ErrUnavailable},
		{403, "AccessDenied", nil},
		{401, "", nil},
		{400, "", nil},
		{418, "", nil},
		{404, "NoSuchKey", ingest.ErrChanged},
		{412, "PreconditionFailed", ingest.ErrChanged},
		{412, "", ingest.ErrChanged},
	} {
		s := stub(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(test.status)
			if test.code != "" {
				fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", test.code, chatter)
			} else {
				io.WriteString(w, "<html>"+chatter)
			}
		})
		_, err := read(s, ingest.Object{Key: "a", ETag: "1"})
		permanent := err != nil && !errors.Is(err, ingest.ErrUnavailable) && !errors.Is(err, ingest.ErrChanged)
		if test.kind != nil && !errors.Is(err, test.kind) || test.kind == nil && !permanent {
			t.Errorf("%d %s: %v, want %v", test.status, test.code, err, test.kind)
		}
		if err != nil && strings.Contains(err.Error(), chatter) {
			t.Errorf("%d %s: %v repeats the store", test.status, test.code, err)
		}
	}
}

// However a connection ends early, the beginning is not taken for the whole.
func TestShortAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"length": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
			io.WriteString(w, "the beginning")
		},
		"reset": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
			io.WriteString(w, "the beginning")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"no answer": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	} {
		if got, err := read(stub(t, answer), ingest.Object{Key: "a"}); !errors.Is(err, ingest.ErrUnavailable) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// Who no longer waits for a store that hangs is released.
func TestCancel(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := stub(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("list-type") == "" {
			w.Header().Set("Content-Length", "100")
			w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
			io.WriteString(w, "the beginning")
			_ = http.NewResponseController(w).Flush()
		}
		<-release
	})
	t.Cleanup(func() { close(release) }) // before the server closes, which waits for its handlers
	// Neither does a store that stops in the middle keep anybody for ever.
	stalled := *s
	stalled.SetStall(100 * time.Millisecond)
	if got, err := read(&stalled, ingest.Object{Key: "a"}); !errors.Is(err, ingest.ErrUnavailable) {
		t.Errorf("a store that stops in the middle gave %q, %v", got, err)
	}
	for name, operation := range map[string]func(context.Context) error{
		"list": func(ctx context.Context) error {
			for _, err := range s.List(ctx, "", "") {
				return err
			}
			return nil
		},
		"read": func(ctx context.Context) error {
			content, err := s.Open(ctx, ingest.Object{Key: "a"})
			if err != nil {
				return err
			}
			defer content.Close()
			_, err = io.ReadAll(content)
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begin := time.Now()
		if err := operation(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ingest.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s was released after %v", name, took)
		}
		cancel()
	}
}

func TestURIs(t *testing.T) {
	t.Parallel()
	s := open(t, source.S3Config{Endpoint: "http://127.0.0.1:1", Bucket: "bucket"})
	for _, test := range []struct {
		uri, key string
		ok       bool
	}{
		{"s3://bucket", "", true},
		{"s3://bucket/", "", true},
		{"s3://bucket/a/b c%20+?#.txt", "a/b c%20+?#.txt", true},
		{"s3://bucket//a", "/a", true},
		{"s3://bucket2/a", "", false},
		{"s3://Bucket/a", "", false},
		{"bucket/a", "", false},
		{"gs://bucket/a", "", false},
		{"/bucket/a", "", false},
		{"", "", false},
	} {
		if key, ok := s.Key(test.uri); ok != test.ok || ok && key != test.key {
			t.Errorf("Key(%q) is %q, %v", test.uri, key, ok)
		}
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	server := sourcetest.Start(t)
	bucket := server.Bucket(t, "archive")
	s := open(t, config(server, bucket))
	for name, content := range map[string]string{"sealprint/00ff": "the original", "sealprint/empty": "", "sealprint/large": strings.Repeat("x", 17<<20)} {
		for range 2 { // again is harmless
			if err := s.Put(t.Context(), name, strings.NewReader(content), int64(len(content))); err != nil {
				t.Fatal(err)
			}
		}
		r, err := s.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || string(got) != content {
			t.Errorf("%s holds %d bytes of %d, %v", name, len(got), len(content), err)
		}
	}
	if _, err := s.Get(t.Context(), "sealprint/none"); !errors.Is(err, ingest.ErrChanged) {
		t.Errorf("what was never put is %v", err)
	}
	// Cut off while it is sent: nothing stands under the name.
	if err := s.Put(t.Context(), "sealprint/short", io.LimitReader(strings.NewReader("short"), 3), 5); err == nil {
		t.Error("an original that ends early is stored")
	}
	if _, err := s.Get(t.Context(), "sealprint/short"); !errors.Is(err, ingest.ErrChanged) {
		t.Errorf("half an original is %v", err)
	}
}
