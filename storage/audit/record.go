package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"time"
	"unicode/utf8"
)

// Limits of a record.
const (
	maxText    = 1 << 10 // bytes of one field
	maxTargets = 100
	// maxLine bounds what is read of a line: more than all fields can take, escaped.
	maxLine = 1 << 20
)

// Record is one thing that somebody did. It names things by their ids and never holds
// content.
type Record struct {
	Sequence   int64     `json:"sequence"` // from 1, without gaps; the log gives it
	Time       time.Time `json:"time"`     // the log gives it, if it is zero
	Principal  string    `json:"principal"`
	Role       string    `json:"role,omitempty"`       // of the principal; several with commas
	Department string    `json:"department,omitempty"` // of the principal; several with commas, empty: all
	Action     string    `json:"action"`
	Purpose    string    `json:"purpose,omitempty"` // what the caller said it is for
	Request    string    `json:"request,omitempty"` // id of the request
	Targets    []string  `json:"targets,omitempty"` // ids of what was acted on or answered
	Size       int64     `json:"size,omitempty"`    // bytes that were submitted
	Count      int       `json:"count,omitempty"`   // of items, if there were many
	Outcome    string    `json:"outcome"`
}

func (r *Record) check() error {
	for _, text := range append([]string{r.Principal, r.Role, r.Department, r.Action, r.Purpose, r.Request, r.Outcome}, r.Targets...) {
		if len(text) > maxText || !utf8.ValidString(text) {
			return fmt.Errorf("audit record: a field of %d bytes: need UTF-8 of at most %d", len(text), maxText)
		}
	}
	if len(r.Targets) > maxTargets {
		return fmt.Errorf("audit record: %d targets, at most %d", len(r.Targets), maxTargets)
	}
	return nil
}

// code is the last link of the chain.
type code [sha256.Size]byte

// What stands around the code at the end of a line.
const (
	beforeCode = `,"mac":"`
	afterCode  = `"}`
	codeLength = len(beforeCode) + 2*sha256.Size + len(afterCode)
)

// chain computes codes.
type chain struct {
	mac  hash.Hash
	last code
}

func newChain(key []byte, last code) *chain { return &chain{hmac.New(sha256.New, key), last} }

// next is the code of a record in JSON.
func (c *chain) next(record []byte) (next code) {
	c.mac.Reset()
	c.mac.Write(c.last[:])
	c.mac.Write(record)
	c.mac.Sum(next[:0])
	return next
}

// appendLine appends the line of a record.
func (c *chain) appendLine(to []byte, r *Record) ([]byte, error) {
	record, err := json.Marshal(r)
	if err != nil {
		return to, fmt.Errorf("encode audit record: %w", err)
	}
	c.last = c.next(record)
	to = append(to, record[:len(record)-1]...)
	to = append(to, beforeCode...)
	to = hex.AppendEncode(to, c.last[:])
	return append(to, afterCode+"\n"...), nil
}

var errLine = errors.New("not a record")

// parseLine takes a line, without its line break, apart: the record in JSON, its sequence
// number and its code.
func parseLine(line []byte) (record []byte, sequence int64, own code, err error) {
	at := len(line) - codeLength
	if at < 1 || !bytes.HasPrefix(line[at:], []byte(beforeCode)) || !bytes.HasSuffix(line, []byte(afterCode)) {
		return nil, 0, own, errLine
	}
	digits := line[at+len(beforeCode) : len(line)-len(afterCode)]
	if _, err := hex.Decode(own[:], digits); err != nil || hex.EncodeToString(own[:]) != string(digits) {
		return nil, 0, own, errLine
	}
	record = append(append(make([]byte, 0, at+1), line[:at]...), '}')
	rest, ok := bytes.CutPrefix(record, []byte(`{"sequence":`))
	number, _, found := bytes.Cut(rest, []byte(","))
	if !ok || !found {
		return nil, 0, own, errLine
	}
	if sequence, err = strconv.ParseInt(string(number), 10, 64); err != nil || sequence < 1 {
		return nil, 0, own, errLine
	}
	return record, sequence, own, nil
}
