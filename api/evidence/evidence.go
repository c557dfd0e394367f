// Package evidence makes signed reports of look-ups, to be handed on and read, and verified,
// without the service.
//
// A report is one file that needs nothing else: JSON for programs, or HTML for people, which
// holds the same JSON. Its end is the signature, of a fixed form:
//
//	,"signature":{"algorithm":"ed25519","public_key":"KEY","value":"SIGNATURE"}}    JSON
//	<!-- sealprint-evidence-1 ed25519 KEY SIGNATURE -->                             HTML
//
// and a line feed, with key and signature in lowercase hexadecimal. What is signed (Ed25519,
// RFC 8032) is every byte before it, as it stands in the file, so that no byte can be changed,
// added or removed unnoticed, and any implementation of Ed25519 can tell.
//
// The key is the deployment's, for this purpose alone. That a file verifies says that it is as
// the holder of the key in it signed it; who that is tells the public key that the deployment
// publishes.
package evidence

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
)

// Format is the version of the reports that this package makes and reads.
const Format = "sealprint-evidence-1"

// Kind is a kind of file.
type Kind string

// The kinds.
const (
	HTML Kind = "html"
	JSON Kind = "json"
)

// ContentType is the media type of such files.
func (k Kind) ContentType() string {
	if k == HTML {
		return "text/html; charset=utf-8"
	}
	return "application/json"
}

// Report is a look-up with all that its answer speaks of. Sign fills in Format, KeyID and
// PublicKey.
type Report struct {
	Format    string          `json:"format"`
	MadeAt    time.Time       `json:"made_at"`
	MadeBy    Maker           `json:"made_by"`
	Purpose   string          `json:"purpose,omitempty"` // what the caller said it is for
	Software  string          `json:"software"`
	SeenAt    time.Time       `json:"seen_at"`            // at which releases were looked for
	Document  string          `json:"document,omitempty"` // the only one that the report is about
	Suspect   Suspect         `json:"suspect"`
	Answer    json.RawMessage `json:"answer"` // of the look-up, as the API has it: see Findings
	Pages     []Page          `json:"pages"`
	AuditHead string          `json:"audit_head"` // the checkpoint of the audit log
	KeyID     string          `json:"key_id"`     // of the deployment's secret key
	PublicKey string          `json:"public_key"` // that the signature verifies with
}

// Maker is who asked for a report: a key, or somebody who logged in, as the audit log has it.
type Maker struct {
	ID    string `json:"id"`
	Label string `json:"label,omitempty"` // of the key
}

// Suspect is what was looked up.
type Suspect struct {
	Kind   string `json:"kind"` // text, file or image
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // in bytes
	// Texts are what it says, as it was submitted or read of the file.
	Texts []Text `json:"texts,omitempty"`
	// Pictures are how it looks, as it was compared.
	Pictures []Picture `json:"pictures,omitempty"`
}

// Text is a text or a page of a file, or as much of it as a report has room for.
type Text struct {
	Page     int       `json:"page,omitempty"` // of a file
	Length   int       `json:"length"`         // of all of it, in code points
	Excerpts []Excerpt `json:"excerpts"`
}

// Excerpt is an unbroken part of a text.
type Excerpt struct {
	Start int    `json:"start"` // code points before it
	Text  string `json:"text"`
}

// Picture is a picture, smaller than it was.
type Picture struct {
	Page   int    `json:"page,omitempty"` // of several in one file
	Width  int    `json:"width"`
	Height int    `json:"height"`
	PNG    []byte `json:"png"`
}

// Page is what stands around passages on a page of a registered document, read again from its
// source.
type Page struct {
	Document string `json:"document"`
	Version  int    `json:"version"`
	Part     string `json:"part,omitempty"` // what it is, where it is more than a page
	Reader   string `json:"reader,omitempty"`
	Reason   string `json:"reason,omitempty"` // why it was not read
	Note     string `json:"note,omitempty"`   // what to mind about what was
	Text
}

// Span is a range of code points.
type Span struct{ Start, End int }

// Around returns the parts of a text that lie around spans, at most so many code points
// before and behind each. Words at their ends are whole.
func Around(text []rune, spans []Span, context int) []Excerpt {
	var excerpts []Excerpt
	for _, w := range windows(text, spans, context) {
		excerpts = append(excerpts, Excerpt{w.Start, string(text[w.Start:w.End])})
	}
	return excerpts
}

// Signature is what the end of a report says.
type Signature struct {
	Kind      Kind
	PublicKey ed25519.PublicKey
	Value     []byte
}

// The errors of Verify.
var (
	// ErrUnsigned is a file that does not end as a report does.
	ErrUnsigned = errors.New("not an evidence report, or not all of one")
	// ErrChanged is a report of which a byte, at least, is not as it was signed.
	ErrChanged = errors.New("not as it was signed")
	// ErrFormat is a report that is as it was signed, and cannot be read.
	ErrFormat = errors.New("signed, but not in a format that this version reads")
)

// The ends of files, around key and signature.
var ends = map[Kind][3]string{
	JSON: {`,"signature":{"algorithm":"ed25519","public_key":"`, `","value":"`, "\"}}\n"},
	HTML: {"<!-- " + Format + " ed25519 ", " ", " -->\n"},
}

// end is the end of a file of a kind.
func (s *Signature) end() []byte {
	parts := ends[s.Kind]
	return []byte(parts[0] + hex.EncodeToString(s.PublicKey) + parts[1] + hex.EncodeToString(s.Value) + parts[2])
}

// Where the report stands in HTML. Nothing that begins a tag is in it, as JSON is encoded here.
const (
	beforeData = `<template id="report">`
	afterData  = "</template>\n"
)

// doctype begins HTML, and no JSON.
const doctype = "<!doctype html>\n"

// PublicKey is what signatures of a deployment verify with.
func PublicKey(key *fingerprint.Key) ed25519.PublicKey {
	return signer(key).Public().(ed25519.PublicKey)
}

func signer(key *fingerprint.Key) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(key.Derive("evidence signature", ed25519.SeedSize))
}

// Sign writes a report into a file of a kind, and signs it with the key that is derived from a
// deployment's.
func Sign(kind Kind, r Report, key *fingerprint.Key) ([]byte, error) {
	private := signer(key)
	public := private.Public().(ed25519.PublicKey)
	r.Format, r.KeyID, r.PublicKey = Format, key.ID(), hex.EncodeToString(public)
	data, err := json.Marshal(r) // which escapes <, > and &
	if err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	var file bytes.Buffer
	switch kind {
	case JSON:
		file.Write(data[:len(data)-1]) // the brace closes behind the signature
	case HTML:
		if err := write(&file, &r); err != nil {
			return nil, err
		}
		file.WriteString(beforeData)
		file.Write(data)
		file.WriteString(afterData)
	default:
		return nil, fmt.Errorf("report of kind %q: there is none", kind)
	}
	s := Signature{kind, public, ed25519.Sign(private, file.Bytes())}
	file.Write(s.end())
	return file.Bytes(), nil
}

// Verify reads a report of either kind and reports whether it is, byte for byte, as it was
// signed with the key that it names. Whose key that is, is for the caller to compare. The
// error is of kind [ErrUnsigned], [ErrChanged] or [ErrFormat].
func Verify(file []byte) (*Report, *Signature, error) {
	kind := JSON
	if bytes.HasPrefix(file, []byte(doctype)) {
		kind = HTML
	}
	s, ok := parseEnd(kind, file)
	if !ok {
		return nil, nil, ErrUnsigned
	}
	body := file[:len(file)-len(s.end())]
	if !ed25519.Verify(s.PublicKey, body, s.Value) {
		return nil, nil, ErrChanged
	}
	var data []byte
	switch kind {
	case JSON:
		data = append(bytes.Clone(body), '}')
	case HTML:
		_, data, _ = bytes.Cut(body, []byte(beforeData))
		data = bytes.TrimSuffix(data, []byte(afterData))
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if r.Format != Format {
		return nil, nil, fmt.Errorf("%w: %.40q", ErrFormat, r.Format)
	}
	if r.PublicKey != hex.EncodeToString(s.PublicKey) {
		return nil, nil, fmt.Errorf("%w: the report names another key than its signature", ErrFormat)
	}
	return &r, s, nil
}

// parseEnd reads the end of a file, if it is exactly as one that was written.
func parseEnd(kind Kind, file []byte) (*Signature, bool) {
	s := &Signature{kind, make([]byte, ed25519.PublicKeySize), make([]byte, ed25519.SignatureSize)}
	n := len(s.end())
	if len(file) < n {
		return nil, false
	}
	end := file[len(file)-n:]
	parts := ends[kind]
	key := len(parts[0])
	value := key + hex.EncodedLen(ed25519.PublicKeySize) + len(parts[1])
	if _, err := hex.Decode(s.PublicKey, end[key:value-len(parts[1])]); err != nil {
		return nil, false
	}
	if _, err := hex.Decode(s.Value, end[value:n-len(parts[2])]); err != nil {
		return nil, false
	}
	return s, bytes.Equal(s.end(), end) // also: lowercase
}

// ParsePublicKey reads a public key as it is published: lowercase hexadecimal.
func ParsePublicKey(text string) (ed25519.PublicKey, error) {
	text = strings.TrimSpace(text)
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize || hex.EncodeToString(key) != text {
		return nil, fmt.Errorf("public key: need %d lowercase hexadecimal digits", hex.EncodedLen(ed25519.PublicKeySize))
	}
	return key, nil
}
