package registry

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// maxPlaces bounds the encoded places of a version, when they are stored and
// when they are inflated. They take about a byte a word: this is the text of a
// hundred thousand pages, more than any document that is read.
const maxPlaces = 64 << 20

// sealer encrypts what is kept of versions beside the plain facts. What it writes
// is a nonce and what AES-256-GCM makes of the deflated places, or of something else,
// with the ordinal, or the id of a webhook, as additional data. Each has a key of its
// own, so that one cannot be passed off as the other.
type sealer struct {
	places, sketches, layouts, hashes, posts, webhooks ciphers
	ids                                                []string // of the keys

	inflaters sync.Pool // of readers of package flate: each has 40 KB of its own
}

// ciphers are those of one purpose, of each key. The first writes, all of them open.
type ciphers []cipher.AEAD

// newSealer seals with the first of the keys.
func newSealer(keys ...*fingerprint.Key) (*sealer, error) {
	s := &sealer{}
	for purpose, to := range map[string]*ciphers{
		"registry places": &s.places, "registry sketches": &s.sketches, "registry layouts": &s.layouts, "registry hashes": &s.hashes,
		"registry posts":    &s.posts,
		"registry webhooks": &s.webhooks,
	} {
		for _, key := range keys {
			block, err := aes.NewCipher(key.Derive(purpose, 32))
			if err != nil {
				return nil, err
			}
			aead, err := cipher.NewGCM(block)
			if err != nil {
				return nil, err
			}
			*to = append(*to, aead)
		}
	}
	for _, key := range keys {
		s.ids = append(s.ids, key.ID())
	}
	return s, nil
}

// sealedVersion is what is encrypted of a version.
type sealedVersion struct{ places, sketch, second []byte } // no sketch: nil; no second one: empty

// versions seals places and sketches of versions, in their order.
func (s *sealer) versions(versions []storage.Version) ([]sealedVersion, error) {
	if len(versions) == 0 {
		return nil, nil
	}
	// A compressor takes more memory than most places: there is one for all.
	var deflated bytes.Buffer
	compressor, err := flate.NewWriter(&deflated, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	all := make([]sealedVersion, len(versions))
	for i, v := range versions {
		if len(v.Places) > maxPlaces {
			return nil, fmt.Errorf("places of ordinal %d take %d bytes, at most %d are stored", v.Ordinal, len(v.Places), maxPlaces)
		}
		deflated.Reset()
		compressor.Reset(&deflated)
		if _, err := compressor.Write(v.Places); err != nil {
			return nil, err
		}
		if err := compressor.Close(); err != nil {
			return nil, err
		}
		all[i].places = seal(s.places, v.Ordinal, deflated.Bytes())
		if len(v.Sketch) > 0 {
			all[i].sketch, all[i].second = seal(s.sketches, v.Ordinal, v.Sketch), []byte{} // hashes: there is nothing to deflate
			if len(v.SecondSketch) > 0 {
				all[i].second = seal(s.sketches, v.Ordinal, v.SecondSketch)
			}
		}
	}
	return all, nil
}

func seal(with ciphers, ordinal storage.Ordinal, content []byte) []byte {
	return sealAs(with, additional(ordinal), content)
}

// sealAs encrypts the content of what a name names, such as an ordinal or an id.
func sealAs(with ciphers, name, content []byte) []byte {
	aead := with[0]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(content)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program instead
	return aead.Seal(nonce, nonce, content, name)
}

var errSeal = errors.New("wrong key, or changed bytes")

func unseal(with ciphers, ordinal storage.Ordinal, sealed []byte) ([]byte, error) {
	content, _, err := unsealAs(with, additional(ordinal), sealed)
	return content, err
}

// unsealAs tells, too, which of the ciphers has sealed it.
func unsealAs(with ciphers, name, sealed []byte) (content []byte, by int, err error) {
	for by, aead := range with {
		if len(sealed) < aead.NonceSize() {
			break
		}
		nonce, text := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
		if content, err := aead.Open(nil, nonce, text, name); err == nil {
			return content, by, nil
		}
	}
	return nil, 0, errSeal
}

func (s *sealer) openPlaces(ordinal storage.Ordinal, sealed []byte) ([]byte, error) {
	deflated, err := unseal(s.places, ordinal, sealed)
	if err != nil {
		return nil, err
	}
	from := bytes.NewReader(deflated)
	inflater, ok := s.inflaters.Get().(io.ReadCloser)
	if !ok {
		inflater = flate.NewReader(from)
	} else if err := inflater.(flate.Resetter).Reset(from, nil); err != nil {
		return nil, err
	}
	defer s.inflaters.Put(inflater)
	places, err := io.ReadAll(io.LimitReader(inflater, maxPlaces+1))
	if err != nil {
		return nil, err
	}
	if len(places) > maxPlaces {
		return nil, fmt.Errorf("more than %d bytes", maxPlaces)
	}
	return places, nil
}

func (s *sealer) openSketch(ordinal storage.Ordinal, sealed []byte) ([]byte, error) {
	return unseal(s.sketches, ordinal, sealed)
}

// post seals the fingerprints of a post, which are named by its sequence.
func (s *sealer) post(sequence int64, fingerprints []byte) []byte {
	return sealAs(s.posts, binary.BigEndian.AppendUint64(nil, uint64(sequence)), fingerprints)
}

// openPost tells, too, with which key the fingerprints were made; empty: the current one.
func (s *sealer) openPost(sequence int64, sealed []byte) (fingerprints []byte, keyID string, err error) {
	fingerprints, by, err := unsealAs(s.posts, binary.BigEndian.AppendUint64(nil, uint64(sequence)), sealed)
	if by > 0 {
		keyID = s.ids[by]
	}
	return fingerprints, keyID, err
}

func additional(ordinal storage.Ordinal) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(ordinal))
}

// cursors turns places in the order of a list into text for users. A bare
// number would tell how much is registered in all departments, and could be
// made up. So the number and eight zeros are encrypted as one block of AES: a
// text that was not made here decrypts to eight zeros once in 2^64 attempts.
type cursors struct{ block cipher.Block }

func newCursors(key *fingerprint.Key) (*cursors, error) {
	block, err := aes.NewCipher(key.Derive("registry cursor", 32))
	if err != nil {
		return nil, err
	}
	return &cursors{block: block}, nil
}

func (c *cursors) encode(sequence int64) string {
	var b [aes.BlockSize]byte
	binary.BigEndian.PutUint64(b[:], uint64(sequence))
	c.block.Encrypt(b[:], b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// decode reads a cursor; the empty one stands before everything.
func (c *cursors) decode(cursor string) (sequence int64, ok bool) {
	if cursor == "" {
		return 0, true
	}
	b := make([]byte, aes.BlockSize)
	if len(cursor) != base64.RawURLEncoding.EncodedLen(len(b)) {
		return 0, false
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(b, []byte(cursor)); err != nil || n != len(b) {
		return 0, false
	}
	c.block.Decrypt(b, b)
	return int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:]) == 0
}
