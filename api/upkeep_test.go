package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/sealprint/sealprint/storage/backup"
)

// upkeep is what operators do to a house.
type upkeep struct {
	source backup.Source
	fail   int // backups break off after so many bytes, if it is not 0
}

func (u *upkeep) Backup(ctx context.Context, w io.Writer) error {
	if u.fail > 0 {
		_, err := w.Write(make([]byte, u.fail-1))
		return errors.Join(err, errors.New("the disk is on fire"))
	}
	_, err := u.source.Write(ctx, w)
	return err
}

func (u *upkeep) Merge(ctx context.Context) error { return u.source.Index.Compact(ctx) }

func (u *upkeep) Check(context.Context) (IndexReport, error) {
	return IndexReport{Segments: 1, Damage: []string{}}, nil
}

// TestUpkeep: operators merge, check and back up; others do not.
func TestUpkeep(t *testing.T) {
	h := newHouse(t, options{})
	h.register("memo.txt", prose(60, 300))
	if stats := read[IndexStats](do(t, h.http, h.request("POST", "/v1/index/merge", nil)).want(200)); stats.Segments != 1 || stats.Documents != 1 {
		t.Errorf("%+v", stats)
	}
	if report := read[IndexReport](do(t, h.http, h.request("POST", "/v1/index/check", nil)).want(200)); report.Segments != 1 || report.Damage == nil {
		t.Errorf("%+v", report)
	}
	archive := h.get("/v1/backup").want(200)
	if contents, err := backup.Verify(bytes.NewReader(archive.body)); err != nil || contents.Documents != 1 {
		t.Errorf("%+v, %v", contents, err)
	}
	for path, method := range map[string]string{"/v1/index/merge": "POST", "/v1/index/check": "POST", "/v1/backup": "GET"} {
		h.refused(path, do(t, h.as(h.key("finance")), h.request(method, path, nil)), complaint{403, ""})
	}
}

// TestBackupFails: a failure before the first byte is a problem, and one after it ends
// the connection.
func TestBackupFails(t *testing.T) {
	h := newHouse(t, options{fail: 1})
	h.refused("at once", h.get("/v1/backup"), complaint{500, ""})
	h = newHouse(t, options{fail: 100_000})
	plain := &http.Client{Transport: bearer{h.key(""), &http.Transport{DisableKeepAlives: true}}}
	answer, err := plain.Do(h.request("GET", "/v1/backup", nil))
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Errorf("read to the end: %v", err)
	}
}
