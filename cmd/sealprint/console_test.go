package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sealprint/sealprint/api/auth/authtest"
	"github.com/sealprint/sealprint/api/client"
	"github.com/sealprint/sealprint/fingerprint/fingerprinttest"
	"github.com/sealprint/sealprint/ingest/extract/pdftest"
	"github.com/sealprint/sealprint/ingest/source/sourcetest"
)

// browser is a Chromium with a page of the console.
type browser struct {
	*testing.T
	ctx  context.Context
	base string
}

// watch notes what a page must not do: what its policy forbids, dialogs, and errors of our script.
const watch = `
	window.seen = [];
	document.addEventListener("securitypolicyviolation", e => seen.push("policy: " + e.violatedDirective + " " + e.blockedURI));
	window.addEventListener("error", e => seen.push("error: " + e.message));
	for (const name of ["alert", "confirm", "prompt"]) window[name] = () => seen.push(name);`

func browse(t *testing.T, base string) *browser {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath("/usr/bin/chromium"), chromedp.Headless}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium has none for root
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as this context
		t.Fatal(err)
	}
	b := &browser{t, ctx, base}
	b.size(1280)
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute) // a megabyte under the race detector takes its time
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		where, _ := chromedp.Run(b.ctx, chromedp.Location())
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("main")?.innerText.slice(0, 400) ?? ""`))
		b.Fatalf("at %s: %v\n%s", where, err, text)
	}
}

func (b *browser) size(width int64) { b.do(chromedp.EmulateViewport(width, 900)) }

func (b *browser) theme(name string) {
	b.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		b.Fatal(err)
	}
}

// open goes to a page; see waits until something is there.
func (b *browser) open(path string) { b.Helper(); b.do(chromedp.Navigate(b.base + path)) }
func (b *browser) see(selector string) {
	b.Helper()
	b.do(chromedp.WaitVisible(selector))
}
func (b *browser) click(selector, then string) {
	b.Helper()
	b.do(chromedp.Click(selector), chromedp.WaitVisible(then))
}
func (b *browser) fill(selector, text string) {
	b.Helper()
	set := fmt.Sprintf(`(e => { e.value = %s; e.dispatchEvent(new Event("change", {bubbles: true})); })(document.querySelector(%q))`, quoted(text), selector)
	b.do(chromedp.WaitReady(selector), chromedp.Evaluate[chromedp.Void](set))
}

func quoted(text string) string {
	q, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string
	}
	return string(q)
}

// js evaluates an expression in the page.
func js[T any](b *browser, expression string) T {
	b.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%s: %v", short(expression), err)
	}
	return value
}

func short(s string) string { return string([]rune(s)[:min(len([]rune(s)), 100)]) }

// text is what stands in an element.
func (b *browser) text(selector string) string {
	b.Helper()
	return js[string](b, fmt.Sprintf(`document.querySelector(%q)?.textContent ?? ""`, selector))
}

// keys presses keys, one after the other.
func (b *browser) keys(keys string) { b.Helper(); b.do(chromedp.KeyEvent(keys)) }

// tabTo reaches an element by the keyboard alone.
func (b *browser) tabTo(selector string) {
	b.Helper()
	for range 150 {
		if js[bool](b, fmt.Sprintf(`document.activeElement?.matches(%q) ?? false`, selector)) {
			return
		}
		b.keys(kb.Tab)
	}
	b.Fatalf("%s is not reached by the keyboard", selector)
}

func (b *browser) signIn(key string) {
	b.Helper()
	b.open("/sign-in")
	b.do(chromedp.SendKeys("#key", key), chromedp.Submit("#key"), chromedp.WaitVisible("nav"))
}

// axe is the accessibility checker, as a script.
func axe(t *testing.T) string {
	t.Helper()
	path := os.Getenv("SEALPRINT_TEST_AXE")
	if path == "" {
		t.Fatal("SEALPRINT_TEST_AXE must name axe.min.js; make test sees to it")
	}
	script, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// screen checks the page that is shown, in every look, and keeps screenshots of it: it breaks no
// rule of WCAG 2.2 AA that a program can check, nothing is wider than a narrow screen, and it
// did nothing that pages must not do.
func (b *browser) screen(name string) {
	b.Helper()
	type look struct {
		width int64
		theme string
	}
	for _, l := range []look{{1280, "light"}, {1280, "dark"}, {390, "light"}} {
		b.size(l.width)
		b.theme(l.theme)
		if wide := js[int](b, `document.documentElement.scrollWidth`); int64(wide) > l.width {
			b.Errorf("%s is %d pixels wide on a screen of %d: %s", name, wide, l.width, js[string](b, `[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className).slice(0, 4).join(" ")`))
		}
		found := js[[]string](b, `(async () => { if (!window.axe) { `+axe(b.T)+` }
			const r = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]});
			return r.violations.map(v => v.impact + " " + v.id + ": " + v.nodes.slice(0, 2).map(n => n.html.slice(0, 160) + " " + n.failureSummary.slice(0, 200)).join(" | ")); })()`)
		for _, f := range found {
			b.Errorf("%s, %d pixels, %s: %s", name, l.width, l.theme, f)
		}
		if dir := os.Getenv("SEALPRINT_TEST_SCREENSHOTS"); dir != "" {
			shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, l.width, l.theme)), shot, 0o644)
			}
			if err != nil {
				b.Errorf("screenshot of %s: %v", name, err)
			}
		}
	}
	b.size(1280)
	b.behaved(name)
}

// behaved checks that a page did nothing that pages must not do.
func (b *browser) behaved(name string) {
	b.Helper()
	if seen := js[[]string](b, `window.seen`); len(seen) > 0 {
		b.Errorf("%s: %q", name, seen)
	}
}

const leaked = "Just in: The committee was of the view that the guarantee should be split over two financial years, and that the banks should not be told of the second part until the first has been subscribed in full. #leak"

// consoleServer is a server with the sample documents, from a bucket, so that their pages can be
// shown.
func consoleServer(t *testing.T) *server {
	t.Helper()
	s3, _ := sampleBucket(t)
	s := start(t, filepath.Join(t.TempDir(), "data"), "--config", settingsFile(t, s3.Endpoint, sourcetest.SecretKey))
	if r := s.cli("register", "s3://records", "--department", "cabinet", "--classification", "restricted"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	return s
}

// TestConsole goes the way of an analyst from sign-in to a decision, and through all that the
// others do.
func TestConsole(t *testing.T) {
	t.Setenv("SEALPRINT_WEBHOOK_ALLOW", "127.0.0.0/8")
	s := consoleServer(t)
	if code, answer := s.post("x/187", leaked); code != http.StatusOK {
		t.Fatalf("%d %s", code, answer)
	}
	b := browse(t, s.url)
	b.open("/alerts") // a link in a mail
	b.see("#key")
	b.screen("sign-in")
	b.do(chromedp.SendKeys("#key", "sealprint_no_key"), chromedp.Submit("#key"), chromedp.WaitVisible(".wrong"))
	b.do(chromedp.SendKeys("#key", s.key), chromedp.Submit("#key"), chromedp.WaitVisible("table"))
	if where := js[string](b, `location.pathname`); where != "/alerts" {
		t.Errorf("after signing in: %s", where)
	}
	b.screen("alerts")

	// From the queue to a decision, by the keyboard alone.
	b.tabTo("tbody tr:first-child a")
	b.keys(kb.Enter)
	b.see("#state")
	b.screen("alert")
	if seen := b.text("mark"); !strings.Contains(seen, "The committee was of the view") {
		t.Errorf("what was seen: %q", seen)
	}
	b.tabTo("#state")
	b.keys("c")
	b.tabTo("#reason")
	b.keys("Compared with the memo")
	b.tabTo("form.stack-form button")
	b.keys(kb.Enter)
	b.see(".history time")
	if h := b.text(".history"); !strings.Contains(h, "Confirmed") || !strings.Contains(h, "Compared with the memo") {
		t.Errorf("history: %s", h)
	}
	b.click(".undo button", ".history li:nth-child(2)")
	if state := b.text(".verdict .tag"); state != "New" {
		t.Errorf("undone: %s", state)
	}
	b.fill("#state", "confirmed")
	b.fill("#reason", "Again")
	b.click("form.stack-form button", ".history li:nth-child(3)")

	b.click("a[href$='/removal']", "#requester")
	b.screen("removal")
	b.fill("#requester", "Cabinet Division")
	b.fill("#instrument", "Rule 12 of the conduct rules")
	b.click("form.stack-form button", ".letter")
	if letter := b.text(".letter"); !strings.Contains(letter, "x/187") || !strings.Contains(letter, "Cabinet Division") || strings.Contains(letter, "power-circular") || strings.Contains(letter, "guarantee") {
		t.Errorf("removal request: %s", letter)
	}

	// A look-up: the evidence is on the next page.
	b.open("/")
	b.screen("look-up")
	b.fill("#text", leaked)
	b.click("form.lookup button", ".verdict")
	if v := b.text(".verdict h1"); v != "Unauthorized disclosure" {
		t.Errorf("verdict %q", v)
	}
	for _, side := range []string{"suspect", "document"} {
		mark := strings.Join(strings.Fields(b.text("[data-pane="+side+"] mark")), " ")
		if want := "1The committee was of the view that the guarantee should be split"; !strings.HasPrefix(mark, want) || !strings.HasSuffix(mark, "in full.") {
			t.Errorf("%s: %q", side, mark)
		}
		if !js[bool](b, fmt.Sprintf(`(() => { const p = document.querySelector("[data-pane=%s]").getBoundingClientRect(), m = document.querySelector("[data-pane=%s] mark").getBoundingClientRect(); return m.top >= p.top && m.bottom <= p.bottom + 400; })()`, side, side)) {
			t.Errorf("%s: the passage is not in sight", side)
		}
	}
	b.keys("j")
	if n := js[int](b, `document.querySelectorAll("mark.now").length`); n < 2 {
		t.Errorf("%d marks are where j leads to", n)
	}
	b.screen("evidence")
	for _, format := range []string{"html", "json"} {
		report := js[string](b, fmt.Sprintf(`fetch(location.pathname + "/report?format=%s").then(r => r.text())`, format))
		file := filepath.Join(t.TempDir(), "report."+format)
		write(t, filepath.Dir(file), map[string]string{filepath.Base(file): report})
		if r := s.cli("evidence", "verify", file); r.code != exitOK || !strings.HasPrefix(r.out, "Unauthorized.") {
			t.Errorf("report in %s: %+v", format, r)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(report, "guarantee", "guarantea", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := s.cli("evidence", "verify", file); r.code == exitOK {
			t.Errorf("a changed report in %s verifies", format)
		}
	}
	b.open("/")
	b.screen("looked-up-before")

	// Nothing found, and why.
	b.fill("#text", "The weather in Quetta will stay dry, with light winds from the west; nothing else is expected before the weekend comes.")
	b.click("form.lookup button", "#whynot")
	b.screen("no-match")

	// Documents: search, a document, a release that the next look-up heeds, a page.
	b.open("/documents?q=POWER+debt")
	b.see("tbody tr")
	if n := js[int](b, `document.querySelectorAll("tbody tr").length`); n != 1 {
		t.Errorf("%d documents are found", n)
	}
	b.screen("documents")
	b.click("tbody a", "#versions")
	b.screen("document")
	b.do(chromedp.Click("#releases ~ details summary"))
	b.fill("[name=authority]", "Secretary, Power Division")
	b.click("#releases ~ details button", "section[aria-labelledby=releases] li")
	b.click(".actions a.first", ".sheet")
	b.open(js[string](b, `location.pathname`) + "?picture=yes")
	b.do(chromedp.WaitReady(".look img"))
	if !js[bool](b, `(async () => { const i = document.querySelector(".look img"); await i.decode(); return i.naturalWidth > 500; })()`) {
		t.Error("the picture of a page is not shown")
	}
	b.screen("page")
	b.open("/")
	b.fill("#text", leaked)
	b.click("form.lookup button", ".verdict")
	if v := b.text(".verdict h1"); v != "Authorized" {
		t.Errorf("verdict after the release: %q", v)
	}

	// A picture of a page, beside the page.
	picture := filepath.Join(t.TempDir(), "photo.png")
	content, err := os.ReadFile(filepath.Join(samples, "water-barrage-inspection-report.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(picture), map[string]string{"photo.png": firstPage(t, content)})
	s.drawn()
	b.open("/")
	b.do(chromedp.SetUploadFiles("#file", []string{picture}))
	b.click("form.lookup button", ".verdict")
	if n := js[int](b, `document.querySelectorAll("[data-pane=suspect] .boxes rect").length * document.querySelectorAll("[data-pane=document] .boxes rect").length`); n == 0 {
		t.Error("the region is not outlined on both sides")
	}
	b.do(chromedp.Click("details.overlay summary"), chromedp.WaitVisible(".overlay .over"))
	b.screen("picture")

	// The rest of the house.
	b.open("/registrations")
	b.see("tbody tr")
	b.screen("registrations")
	b.click("tbody a", ".facts")
	b.screen("registration")
	b.open("/coverage")
	b.see("tbody tr")
	b.screen("coverage")
	b.open("/webhooks")
	b.fill("[name=url]", "http://127.0.0.1:9/hook")
	b.click("form.stack-form button", ".secret")
	if secret := b.text(".secret"); !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("secret of a webhook: %q", secret)
	}
	b.screen("webhooks")
	b.click("tbody a", "button[value=pause]")
	b.click("button[value=pause]", "button[value=resume]")
	b.screen("webhook")
	b.open("/keys")
	b.fill("[name=label]", "of a test")
	b.click("form.stack-form button", ".secret")
	analyst := b.text(".secret")
	b.screen("keys")
	b.open("/keys")
	if strings.Contains(b.text("main"), analyst) {
		t.Error("a key is shown again")
	}
	b.open("/audit")
	b.see("tbody tr")
	b.click("form[action='/audit/verify'] button", ".good")
	b.screen("audit")
	b.open("/service")
	b.see(".plot")
	b.screen("service")
	b.open("/nothing")
	b.see(".wrong")
	b.screen("not-found")

	// In Urdu.
	b.do(chromedp.Click("button[name=language]"), chromedp.WaitVisible("html[dir=rtl] nav"))
	b.open("/alerts?state=confirmed")
	b.see("tbody a")
	b.screen("alerts-ur")
	b.click("tbody a", "#state")
	b.screen("alert-ur")
	b.open("/")
	b.fill("#text", leaked)
	b.click("form.lookup button", ".verdict")
	b.screen("evidence-ur")

	// Who signs out is out, whatever the browser still has; an analyst sees what is theirs.
	b.click("form[action='/sign-out'] button", "#key")
	b.open("/alerts")
	b.see("#key")
	b.signIn(analyst)
	for _, path := range []string{"/keys", "/webhooks", "/audit", "/registrations"} {
		if js[bool](b, fmt.Sprintf(`document.querySelector("nav a[href='%s']") !== null`, path)) {
			t.Errorf("an analyst is led to %s", path)
		}
		b.open(path)
		b.see(".wrong")
	}
}

// TestConsoleLong: a passage of a long document is found by two clicks, from the look-up or from
// the queue, and a text of a megabyte is shown on both sides.
func TestConsoleLong(t *testing.T) {
	const pages = 60
	var lines, contents []string
	for words := range slices.Chunk(strings.Fields(fingerprinttest.Prose(1, 300_000)), 12) {
		lines = append(lines, strings.Join(words, " "))
	}
	for n := range pages {
		contents = append(contents, pdftest.Show(lines[40*n:40*n+40]...))
	}
	passage := lines[40*46+20 : 40*46+23] // of page 47
	text := fingerprinttest.Prose(2, 1_000_000)
	s3 := sourcetest.Start(t)
	bucket := s3.Bucket(t, "records")
	s3.Put(t, bucket, "report.pdf", pdftest.Pages("", contents...))
	s3.Put(t, bucket, "long.txt", text)
	s := start(t, filepath.Join(t.TempDir(), "data"), "--config", settingsFile(t, s3.Endpoint, sourcetest.SecretKey))
	if r := s.cli("register", "s3://records"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	if code, answer := s.post("x/60", "seen: "+strings.Join(passage, " ")); code != http.StatusOK {
		t.Fatalf("%d %s", code, answer)
	}
	b := browse(t, s.url)
	b.signIn(s.key)
	// marked checks that a mark of the document holds a line.
	marked := func(name, which, line string) {
		t.Helper()
		if mark := b.text("[data-pane=document] " + which); !strings.Contains(strings.Join(strings.Fields(mark), " "), line) {
			t.Errorf("%s: %q is marked", name, short(mark))
		}
	}
	inSight := func(name, first string) {
		t.Helper()
		b.see("[data-pane=document] mark")
		marked(name, "mark", first)
		if !js[bool](b, `(() => { const p = document.querySelector("[data-pane=document]").getBoundingClientRect(), m = document.querySelector("[data-pane=document] mark").getBoundingClientRect(); return m.top >= p.top && m.top < p.bottom && m.top < innerHeight; })()`) {
			t.Errorf("%s: the passage is not in sight", name)
		}
	}
	b.fill("#text", strings.Join(passage, " "))
	b.click("form.lookup button", ".verdict") // the only click
	inSight("look-up", passage[0])
	b.do(chromedp.Evaluate[chromedp.Void](`scrollTo(0, 0); document.querySelector("[data-pane=document]").scrollTop = 0`), chromedp.Click(".pairs a"))
	inSight("look-up, by its number", passage[0])
	if pane := b.text("[data-pane=document]"); !strings.Contains(pane, "47") {
		t.Errorf("the page is not named: %s", short(pane))
	}
	b.screen("long")
	b.open("/alerts")
	b.click("tbody a", "#state") // the only click
	inSight("alert", passage[0])

	// Of nine pages four are shown at a time, and any of them can be reached.
	var pieces []string
	for n := 3; n < 30; n += 3 {
		pieces = append(pieces, strings.Join(lines[40*n+5:40*n+8], " "))
	}
	b.open("/")
	b.fill("#text", strings.Join(pieces, "\n\n"))
	b.click("form.lookup button", ".verdict")
	pager := func(want string) {
		t.Helper()
		b.do(chromedp.WaitVisible(fmt.Sprintf(`//*[contains(@class, "pager")][contains(., %q)]`, want)))
	}
	turn := func(name string) {
		t.Helper()
		for _, step := range []struct {
			link     string
			from, to int
		}{{"", 1, 4}, {"last", 5, 8}, {"last", 9, 9}, {"first", 5, 8}, {"first", 1, 4}} {
			want := fmt.Sprintf("%d to %d of 9", step.from, step.to)
			if step.link != "" {
				b.do(chromedp.Click(".pager a:" + step.link + "-of-type"))
			}
			pager(want)
			if n := js[int](b, `document.querySelectorAll("[data-pane=document] .sheet").length`); n != step.to-step.from+1 {
				t.Errorf("%s: %s, and %d are shown", name, want, n)
			}
			marked(name+", "+want, "mark", lines[3*40*step.from+6])
		}
	}
	turn("look-up")
	if n := js[int](b, `document.querySelectorAll("[data-pane=document] .map rect[data-go]").length`); n != len(pieces) {
		t.Errorf("%d of %d passages are on the map", n, len(pieces))
	}
	b.screen("pages")
	// Numbers and keys lead to passages, whatever page of the document they are on.
	b.do(chromedp.Click(".pairs li:last-child a"))
	pager("9 to 9 of 9")
	b.keys("k")
	pager("5 to 8 of 9")
	marked("the passage before the last", "mark.now", lines[40*24+6])
	b.do(chromedp.Click("#s1 .no"))
	pager("1 to 4 of 9")
	code, answer := s.post("x/9", strings.Join(pieces, "\n\n"))
	var post client.PostAnswer
	if err := json.Unmarshal([]byte(answer), &post); err != nil || code != http.StatusOK || len(post.AlertIds) != 1 {
		t.Fatalf("%d %s", code, answer)
	}
	b.open("/alerts/" + post.AlertIds[0])
	turn("alert")

	b.open("/")
	b.fill("#text", text)
	b.click("form.lookup button", ".verdict")
	for _, side := range []string{"suspect", "document"} {
		shown := js[int](b, fmt.Sprintf(`(e => { e = e.cloneNode(true); e.querySelectorAll(".no").forEach(n => n.remove()); return e.textContent.length; })(document.querySelector("[data-pane=%s] .sheet .text"))`, side))
		if shown < len(text) {
			t.Errorf("%s: %d characters of %d are shown", side, shown, len(text))
		}
	}
	b.behaved("long text")
}

// hostile are strings that would break out of a page, or break it.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'onmouseover='alert(1)`, `javascript:alert(1)`, `</textarea><svg onload=alert(1)>`, `</title><script>alert(1)</script>`,
	"{{.Data}} {{template \"layout\"}} ${alert(1)}", "\u202eevil\u202c \u2066isolated\u2069 \u200f\u200e\u061c", "]]><!-- --> <?xml ?>", "\u202e\u202e\u202e" + strings.Repeat("\u0301", 40), "a\u2028b\u2029c", `\u003cscript\u003e &lt;script&gt; &#60;`,
	strings.Repeat("W", 10_000), // as long as a title may be
}

// TestConsoleHostile: whatever stands in texts, titles, names of files, reasons and posts is
// shown as what it is: nothing of it acts, and no page grows wider.
func TestConsoleHostile(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "data"))
	api, err := client.New(s.url, s.key)
	if err != nil {
		t.Fatal(err)
	}
	b := browse(t, s.url)
	b.signIn(s.key)
	body := strings.Join(hostile[:12], "\n") + "\n" + strings.Repeat("the memo says that nobody may be told of it before the session ends, ", 6)
	long := strings.Repeat("a line without an end ", 1<<20/22) // 1 MB
	var document string
	for i, h := range hostile {
		registered, err := api.Register(t.Context(), client.Upload{
			Name: strings.ReplaceAll(short(h), "/", "_") + ".txt", Source: fmt.Sprint(i, " ", short(h)), Title: h, Classification: short(h), Content: strings.NewReader(fmt.Sprint(i, " ", body, long[:1000*i])),
		})
		if err != nil {
			t.Fatalf("%q: %v", h, err)
		}
		document = registered.ID
	}
	if _, err := api.Post(t.Context(), client.Post{ID: hostile[1], Thread: hostile[0], Text: body}); err != nil {
		t.Fatal(err)
	}
	for a, err := range api.Alerts(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range []client.AlertState{"triage", "confirmed"} {
			if _, err := api.Decide(t.Context(), a.ID, client.DispositionRequest{State: state, Reason: hostile[4] + hostile[7]}); err != nil {
				t.Fatal(err)
			}
		}
		b.open("/alerts/" + a.ID)
		b.see("#state")
		b.screenWithoutShots("alert")
		b.open("/alerts/" + a.ID + "/removal?post=" + "%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
		b.see("#requester")
		b.screenWithoutShots("removal")
		break
	}
	for _, path := range []string{"/alerts?state=confirmed&state=new", "/documents", "/documents/" + document, "/documents?q=%3Cscript%3Ealert(1)%3C/script%3E", "/coverage?source=%22%3E%3Csvg%20onload=alert(1)%3E", "/sign-in?to=javascript:alert(1)", "/sign-in?to=//evil.example", "/audit?target=%3Cimg%20src=x%20onerror=alert(1)%3E"} {
		b.open(path)
		b.see("main")
		b.screenWithoutShots(path)
	}
	for _, text := range []string{body, long + hostile[0]} {
		b.open("/")
		b.fill("#text", text)
		b.click("form.lookup button", ".verdict")
		shown := js[string](b, `(e => { e = e.cloneNode(true); e.querySelectorAll(".no").forEach(n => n.remove()); return e.textContent; })(document.querySelector(".sheet .text"))`)
		if shown != text {
			t.Errorf("%d characters are shown otherwise: %d", len(text), len(shown))
		}
		b.screenWithoutShots("look-up")
	}
	dir := t.TempDir()
	name := `"><img src=x onerror=alert(1)>.txt`
	write(t, dir, map[string]string{name: body})
	b.open("/")
	b.do(chromedp.SetUploadFiles("#file", []string{filepath.Join(dir, name)}))
	b.click("form.lookup button", ".verdict")
	b.screenWithoutShots("file")
}

// screenWithoutShots checks what a hostile string could do to a page.
func (b *browser) screenWithoutShots(name string) {
	b.Helper()
	for _, width := range []int64{1280, 390} {
		b.size(width)
		if wide := js[int](b, `document.documentElement.scrollWidth`); int64(wide) > width {
			b.Errorf("%s is %d pixels wide on a screen of %d", name, wide, width)
		}
	}
	b.size(1280)
	if n := js[int](b, `document.querySelectorAll("script:not([src^='/static/']), iframe, object, embed, [onerror], [onload], [onmouseover], a[href^='javascript'], img[src='x']").length`); n > 0 {
		b.Errorf("%s: %d elements broke out", name, n)
	}
	b.behaved(name)
}

// TestConsoleWithoutScripts: the console can be used where scripts are off.
func TestConsoleWithoutScripts(t *testing.T) {
	s := consoleServer(t)
	b := browse(t, s.url)
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.open("/sign-in")
	b.do(chromedp.SendKeys("#key", s.key), chromedp.Click("form.narrow button, .narrow form button"), chromedp.WaitVisible("#text"))
	b.do(chromedp.SendKeys("#text", leaked), chromedp.Click("form.lookup button"), chromedp.WaitVisible("[data-pane=document] mark"))
	b.do(chromedp.Click("[data-pane=suspect] mark a.no"), chromedp.WaitVisible("[data-pane=document] mark"))
	where, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil || !strings.HasSuffix(where, "#d1") {
		t.Errorf("a number leads to %s: %v", where, err)
	}
}

// TestConsoleLogin: people log in at the organization's provider, come back to where they wanted
// to go, may what their groups may, stay while the provider goes on with them, and are out when it
// does not. What comes back from elsewhere, twice, or for somebody else lets nobody in.
func TestConsoleLogin(t *testing.T) {
	p := authtest.NewProvider(t)
	dir := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := free.Addr().String()
	free.Close()
	write(t, dir, map[string]string{
		"ca.pem": p.Certificate(),
		"settings.yaml": fmt.Sprintf(`
console_url: http://%s
oidc:
  issuer: %s
  audience: %s
  ca_file: %s/ca.pem
  grants:
    - {group: desk, role: analyst, department: finance}
`, listen, p.Issuer, authtest.Audience, dir),
	})
	s := start(t, filepath.Join(dir, "data"), "--config", filepath.Join(dir, "settings.yaml"), "--listen", listen)
	visitor := func() *http.Client {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.Roots()}}}
	}
	get := func(c *http.Client, address string) (int, string, string) {
		t.Helper()
		r, err := c.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, r.Request.URL.Path, string(text)
	}
	c := visitor()
	if status, at, page := get(c, s.url+"/alerts"); status != http.StatusOK || at != "/sign-in" || !strings.Contains(page, "/sign-in/provider?to=%2falerts") {
		t.Errorf("%d at %s: %s", status, at, page)
	}
	if status, at, _ := get(c, s.url+"/sign-in/provider?to=/alerts"); status != http.StatusUnauthorized || at != "/sign-in/callback" {
		t.Errorf("whom the provider refuses: %d at %s", status, at)
	}
	p.LogIn(authtest.Claims{"groups": []string{"desk"}, "sub": "an officer"})
	if status, at, page := get(c, s.url+"/sign-in/provider?to=/alerts"); status != http.StatusOK || at != "/alerts" || strings.Contains(page, `href="/keys"`) {
		t.Errorf("%d at %s: %s", status, at, page)
	}
	if status, _, _ := get(c, s.url+"/keys"); status != http.StatusForbidden {
		t.Errorf("keys: %d", status)
	}

	// A code that comes without the browser that asked for it, or again.
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Path == "/sign-in/callback" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	r, err := c.Get(s.url + "/sign-in/provider?to=//evil.example/")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	back := r.Header.Get("Location")
	if status, _, _ := get(visitor(), back); status != http.StatusUnauthorized {
		t.Errorf("another browser comes back: %d", status)
	}
	if status, at, _ := get(c, back); status != http.StatusOK || at != "/" {
		t.Errorf("comes back: %d at %s", status, at)
	}
	if status, _, _ := get(c, back); status != http.StatusUnauthorized {
		t.Errorf("comes back again: %d", status)
	}

	// Tokens end after a moment, and the provider gives another one, as long as it does.
	p.LogIn(authtest.Claims{"groups": []string{"desk"}, "exp": time.Now().Add(-50 * time.Second).Unix()}) // within what clocks may differ
	stays, leaves := visitor(), visitor()
	for _, c := range []*http.Client{stays, leaves} {
		if status, at, _ := get(c, s.url+"/sign-in/provider?to=/alerts"); status != http.StatusOK || at != "/alerts" {
			t.Errorf("%d at %s", status, at)
		}
	}
	time.Sleep(11 * time.Second)
	p.LogIn(authtest.Claims{"groups": []string{"desk"}})
	if status, at, _ := get(stays, s.url+"/alerts"); status != http.StatusOK || at != "/alerts" {
		t.Errorf("after the token's end: %d at %s", status, at)
	}
	p.LogIn(nil)
	if _, at, _ := get(leaves, s.url+"/alerts"); at != "/sign-in" {
		t.Errorf("who is not known any more is at %s", at)
	}
}
