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
	places, sketches, layouts, hashes, posts, webhooks cipher.AEAD

	inflaters sync.Pool // of readers of package flate: each has 40 KB of its own
}

func newSealer(key *fingerprint.Key) (*sealer, error) {
	s := &sealer{}
	for purpose, aead := range map[string]*cipher.AEAD{
		"registry places": &s.places, "registry sketches": &s.sketches, "registry layouts": &s.layouts, "registry hashes": &s.hashes,
		"registry posts":    &s.posts,
		"registry webhooks": &s.webhooks,
	} {
		block, err := aes.NewCipher(key.Derive(purpose, 32))
		if err != nil {
			return nil, err
		}
		if *aead, err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// sealedVersion is what is encrypted of a version.
type sealedVersion struct{ places, sketch []byte } // no sketch: nil

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
			all[i].sketch = seal(s.sketches, v.Ordinal, v.Sketch) // hashes: there is nothing to deflate
		}
	}
	return all, nil
}

func seal(aead cipher.AEAD, ordinal storage.Ordinal, content []byte) []byte {
	return sealAs(aead, additional(ordinal), content)
}

// sealAs encrypts the content of what a name names, such as an ordinal or an id.
func sealAs(aead cipher.AEAD, name, content []byte) []byte {
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(content)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program instead
	return aead.Seal(nonce, nonce, content, name)
}

var errSeal = errors.New("wrong key, or changed bytes")

func unseal(aead cipher.AEAD, ordinal storage.Ordinal, sealed []byte) ([]byte, error) {
	return unsealAs(aead, additional(ordinal), sealed)
}

func unsealAs(aead cipher.AEAD, name, sealed []byte) ([]byte, error) {
	if len(sealed) < aead.NonceSize() {
		return nil, errSeal
	}
	nonce, text := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
	content, err := aead.Open(nil, nonce, text, name)
	if err != nil {
		return nil, errSeal
	}
	return content, nil
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

func (s *sealer) openPost(sequence int64, sealed []byte) ([]byte, error) {
	return unsealAs(s.posts, binary.BigEndian.AppendUint64(nil, uint64(sequence)), sealed)
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
