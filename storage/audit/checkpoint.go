package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sealprint/sealprint/fingerprint"
)

// origin begins the text of a checkpoint.
const origin = "sealprint-audit-1"

// Checkpoint is a state of the log, signed.
type Checkpoint struct {
	Sequence int64 // of the last record; 0: none
	Code     string
	Time     time.Time
	keyID    string
	text     string
}

// String returns the checkpoint as a line of text, to be kept elsewhere: origin, id of the
// key, sequence number, code, time, signature.
func (c Checkpoint) String() string { return c.text }

// keys are what a deployment's key is for the log.
type keys struct {
	id    string
	chain []byte
	sign  ed25519.PrivateKey
}

func keysOf(key *fingerprint.Key) keys {
	return keys{
		id: key.ID(), chain: key.Derive("audit chain", 32),
		sign: ed25519.NewKeyFromSeed(key.Derive("audit signature", ed25519.SeedSize)),
	}
}

func (k keys) checkpoint(sequence int64, last code, at time.Time) Checkpoint {
	c := Checkpoint{keyID: k.id, Sequence: sequence, Code: hex.EncodeToString(last[:]), Time: at.UTC().Truncate(time.Millisecond)}
	said := strings.Join([]string{origin, k.id, strconv.FormatInt(sequence, 10), c.Code, c.Time.Format(time.RFC3339Nano)}, " ")
	c.text = said + " " + base64.StdEncoding.EncodeToString(ed25519.Sign(k.sign, []byte(said)))
	return c
}

// ParseCheckpoint reads a checkpoint that was kept elsewhere, and checks its signature.
func ParseCheckpoint(text string, key *fingerprint.Key) (Checkpoint, error) {
	return keysOf(key).parse(strings.TrimSpace(text))
}

// ParseAnchor is ParseCheckpoint that takes those of earlier keys, too. Their signatures cannot
// be checked without these keys: they are compared with the closed logs.
func ParseAnchor(text string, key *fingerprint.Key) (Checkpoint, error) {
	text = strings.TrimSpace(text)
	if fields := strings.Split(text, " "); len(fields) == 6 && fields[0] == origin && fields[1] != key.ID() {
		return parseFields(fields, text)
	}
	return ParseCheckpoint(text, key)
}

var errCheckpoint = errors.New("not a checkpoint")

func (k keys) parse(text string) (Checkpoint, error) {
	fields := strings.Split(text, " ")
	if len(fields) != 6 || fields[0] != origin {
		return Checkpoint{}, errCheckpoint
	}
	if fields[1] != k.id {
		return Checkpoint{}, fmt.Errorf("%w of this deployment: it was made with key %.16q", errCheckpoint, fields[1])
	}
	signature, err := base64.StdEncoding.DecodeString(fields[5])
	if err != nil || !ed25519.Verify(k.sign.Public().(ed25519.PublicKey), []byte(strings.Join(fields[:5], " ")), signature) {
		return Checkpoint{}, fmt.Errorf("%w: the signature is wrong", errCheckpoint)
	}
	return parseFields(fields, text)
}

func parseFields(fields []string, text string) (Checkpoint, error) {
	sequence, err := strconv.ParseInt(fields[2], 10, 64)
	at, failed := time.Parse(time.RFC3339Nano, fields[4])
	if err := errors.Join(err, failed); err != nil {
		return Checkpoint{}, errCheckpoint
	}
	return Checkpoint{keyID: fields[1], Sequence: sequence, Code: fields[3], Time: at, text: text}, nil
}

// A head is two places of this many bytes, each with a checkpoint and fillers behind it.
const placeBytes = 512

// filler ends a place that is longer than its checkpoint. It is no space: who looks for text in
// the data folder finds runs of them in any text.
const filler = '~'

// place is a checkpoint as it stands in the head.
func (c Checkpoint) place() []byte {
	b := []byte(c.text)
	for len(b) < placeBytes-1 {
		b = append(b, filler)
	}
	return append(b, '\n')
}

// parseHead reads the head, the newer of its places. Wrong is how many of them hold no
// checkpoint.
func (k keys) parseHead(b []byte) (head Checkpoint, wrong int, err error) {
	if len(b) != 2*placeBytes {
		return head, 2, fmt.Errorf("head: %d bytes, need %d", len(b), 2*placeBytes)
	}
	for _, place := range [][]byte{b[:placeBytes], b[placeBytes:]} {
		text := strings.TrimRight(string(place[:placeBytes-1]), string(filler))
		c, failed := k.parse(text)
		if failed == nil && string(c.place()) != string(place) {
			failed = errCheckpoint
		}
		switch {
		case failed != nil:
			err = failed
			wrong++
		case head.text == "" || c.Sequence >= head.Sequence:
			head = c
		}
	}
	if wrong < 2 {
		err = nil
	}
	return head, wrong, err
}
