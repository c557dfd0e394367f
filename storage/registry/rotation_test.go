package registry

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/fingerprint/pdq"
	"github.com/sealprint/sealprint/storage"
)

// paper is a document with one version, which was drawn.
func paper(o storage.Ordinal, name string) storage.Changes {
	id := storage.DocumentID("doc_" + name)
	now := time.Unix(1_800_000_000, 0).UTC()
	hash := bytes.Repeat([]byte{byte(o)}, pdq.Size)
	return storage.Changes{
		Documents: []storage.Document{{ID: id, Title: name, Department: "cabinet", Collection: "default", Version: 1, CreatedAt: now, UpdatedAt: now}},
		Versions: []storage.Version{{
			Document: id, Number: 1, Ordinal: o, Content: []byte("content of " + name), Window: fingerprint.Dense, Status: "ok", CreatedAt: now,
			Places: []byte("places of " + name), Sketch: []byte("sketch of " + name),
		}},
		Drawn: []storage.Drawn{{Version: o, By: 1, Drawings: []storage.Drawing{{Ordinal: o + 1, Version: o, Page: 1, Layout: []byte("layout of " + name), Hash: hash}}}},
	}
}

func post(id string) storage.Intake {
	now := time.Unix(1_800_000_000, 0).UTC()
	return storage.Intake{Posts: []storage.Post{{ID: id, Content: []byte("content of " + id), Fingerprints: []byte("fingerprints of " + id), Verdict: "no_match", SeenAt: now, TakenAt: now}}}
}

// TestRotation: during a rotation everything is read that either key has sealed, and at its
// end nothing needs the previous one.
func TestRotation(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "registry.db")
	before, after := fingerprint.NewKey(), fingerprint.NewKey()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	reserve := func(r *Registry) storage.Ordinal {
		o, err := r.ReserveOrdinals(ctx, 2)
		must(err)
		return o
	}
	r := open(t, path, before)
	must(r.Commit(ctx, paper(reserve(r), "old")))
	must(r.TakeIn(ctx, post("post_old")))
	hook := storage.Webhook{ID: "whk_1", URL: "https://example.org", Secret: []byte("secret"), Previous: []byte("older"), Events: []storage.EventType{storage.AlertCreated}}
	must(r.AddWebhook(ctx, hook))
	if err := r.EndRotation(ctx); err != nil {
		t.Errorf("the end of no rotation: %v", err)
	}
	must(r.Rotate(ctx, after))
	must(r.Close())

	for name, keys := range map[string][]*fingerprint.Key{
		"the previous key": {before}, "the current key alone": {after}, "another previous key": {after, fingerprint.NewKey()}, "keys the wrong way": {before, after},
	} {
		if r, err := Open(ctx, path, keys[0], keys[1:]...); !errors.Is(err, fingerprint.ErrParams) {
			_ = r.Close()
			t.Errorf("%s: %v", name, err)
		}
	}
	with := func(keys ...*fingerprint.Key) *Registry {
		t.Helper()
		r, err := Open(context.WithoutCancel(ctx), path, keys[0], keys[1:]...)
		must(err)
		t.Cleanup(func() { _ = r.Close() })
		return r
	}
	r = with(after, before)
	rotation := r.Rotation()
	if rotation.Previous != before.ID() || rotation.Last != 2 || !rotation.Covers(2) || rotation.Covers(3) {
		t.Fatalf("%+v", rotation)
	}
	if err := r.Rotate(ctx, fingerprint.NewKey()); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("a second rotation: %v", err)
	}
	c := paper(reserve(r), "new")
	c.Versions[0].SecondSketch = []byte("second sketch of new")
	must(r.Commit(ctx, c))
	must(r.TakeIn(ctx, post("post_new")))

	check := func(r *Registry, name string, o storage.Ordinal, sketch string) {
		t.Helper()
		places, err := r.Places(ctx, o)
		if err != nil || string(places) != "places of "+name {
			t.Errorf("places of %s: %q, %v", name, places, err)
		}
		sketches, err := r.Sketches(ctx, []storage.Ordinal{o})
		if err != nil || string(sketches[o]) != sketch {
			t.Errorf("sketch of %s: %q, %v", name, sketches[o], err)
		}
		drawings, err := r.Drawings(ctx, []storage.Ordinal{o + 1})
		if err != nil || string(drawings[o+1].Layout) != "layout of "+name {
			t.Errorf("layout of %s: %+v, %v", name, drawings, err)
		}
		near, err := r.Near(ctx, bytes.Repeat([]byte{byte(o)}, pdq.Size), 0, 1)
		if err != nil || len(near) != 1 {
			t.Errorf("hash of %s: %v, %v", name, near, err)
		}
	}
	check(r, "old", 1, "sketch of old")
	check(r, "new", 3, "second sketch of new") // so that it can be compared
	prints, err := r.Prints(ctx, 0, 10)
	must(err)
	if len(prints) != 2 || prints[0].KeyID != before.ID() || prints[1].KeyID != "" || string(prints[0].Fingerprints) != "fingerprints of post_old" {
		t.Errorf("%+v", prints)
	}
	if w, err := r.Webhook(ctx, storage.Everywhere(), hook.ID); err != nil || string(w.Secret) != "secret" || string(w.Previous) != "older" {
		t.Errorf("%+v, %v", w, err)
	}

	left := func(versions int, count int64, covered int) {
		t.Helper()
		earlier, err := r.Earlier(ctx, 0, 10)
		must(err)
		stats, err := r.Stats(ctx)
		must(err)
		coverage, err := r.Coverage(ctx, storage.Everywhere())
		must(err)
		if len(earlier) != versions || stats.Earlier != count || coverage[0].Earlier != covered {
			t.Errorf("%d versions, %d in all, %+v", len(earlier), stats.Earlier, coverage)
		}
	}
	left(1, 1, 1)
	if err := r.EndRotation(ctx); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("ended with a version under the previous key: %v", err)
	}
	moved := paper(reserve(r), "old")
	moved.Versions[0].Content, moved.Versions[0].SecondSketch = []byte("moved"), []byte("second")
	must(r.Commit(ctx, storage.Changes{Documents: moved.Documents, Rereads: moved.Versions}))
	left(0, 1, 1) // what was drawn
	if err := r.EndRotation(ctx); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("ended with a drawing under the previous key: %v", err)
	}
	must(r.Commit(ctx, storage.Changes{Drawn: moved.Drawn}))
	left(0, 0, 0)
	must(r.EndRotation(ctx))
	must(r.Close())

	r = with(after)
	if r.Rotation() != (storage.Rotation{}) {
		t.Errorf("%+v", r.Rotation())
	}
	check(r, "old", 5, "sketch of old")
	check(r, "new", 3, "sketch of new")
	if prints, err := r.Prints(ctx, 0, 10); err != nil || len(prints) != 1 || string(prints[0].Fingerprints) != "fingerprints of post_new" {
		t.Errorf("%+v, %v", prints, err)
	}
	for id, content := range map[string]string{"post_old": "", "post_new": "content of post_new"} {
		if p, err := r.Post(ctx, id); err != nil || string(p.Content) != content {
			t.Errorf("%+v, %v", p, err)
		}
	}
}
