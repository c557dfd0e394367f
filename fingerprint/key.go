package fingerprint

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/dchest/siphash"
)

// Key is a deployment's secret key. It prints as its id.
type Key struct {
	secret [keyBytes]byte
	k0, k1 uint64 // SipHash key, derived
	id     string
}

const (
	keyBytes  = 32
	keyPrefix = "sealprint-key-1:"
)

// NewKey makes a key from the system's random numbers.
func NewKey() *Key {
	var secret [keyBytes]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand ends the program instead
	return deriveKey(secret)
}

// ParseKey reads a key from the content of a key file, as [Key.Encode] wrote it.
func ParseKey(file []byte) (*Key, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(string(file)), keyPrefix)
	if !ok {
		return nil, fmt.Errorf("not a secret key of sealprint: need %s and %d hexadecimal digits", keyPrefix, hex.EncodedLen(keyBytes))
	}
	var secret [keyBytes]byte
	if hex.DecodedLen(len(text)) != keyBytes {
		return nil, fmt.Errorf("secret key: need %d hexadecimal digits, have %d", hex.EncodedLen(keyBytes), len(text))
	}
	if _, err := hex.Decode(secret[:], []byte(text)); err != nil {
		return nil, errors.New("secret key: not hexadecimal")
	}
	return deriveKey(secret), nil
}

// Encode returns the content of a key file. It is the secret itself.
func (k *Key) Encode() []byte {
	return []byte(keyPrefix + hex.EncodeToString(k.secret[:]) + "\n")
}

func deriveKey(secret [keyBytes]byte) *Key {
	k := &Key{secret: secret}
	sip := k.Derive("fingerprint", 16)
	k.k0, k.k1 = binary.LittleEndian.Uint64(sip), binary.LittleEndian.Uint64(sip[8:])
	k.id = hex.EncodeToString(k.Derive("id", 8))
	return k
}

// Derive returns n bytes that only the holder of the key can know and that tell
// nothing about it, for one purpose (HKDF-SHA256, RFC 5869).
func (k *Key) Derive(purpose string, n int) []byte {
	out, err := hkdf.Key(sha256.New, k.secret[:], nil, "sealprint 1 "+purpose, n)
	if err != nil {
		panic(err) // only for more than 8,160 bytes
	}
	return out
}

// ID names the key. It is public: kept beside everything made with the key.
func (k *Key) ID() string { return k.id }

// Seal is the keyed pseudo-random function that turns the hash of a gram into
// the fingerprint that is stored.
func (k *Key) Seal(gram uint64) Hash {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], gram)
	return Hash(siphash.Hash(k.k0, k.k1, b[:]) & (1<<HashBits - 1))
}

// SealAll seals hashes, in their order; none are nil.
func (k *Key) SealAll(hashes []uint64) []Hash {
	if len(hashes) == 0 {
		return nil
	}
	sealed := make([]Hash, len(hashes))
	for i, h := range hashes {
		sealed[i] = k.Seal(h)
	}
	return sealed
}

// Params are the parameters of fingerprints made with this key by this version
// of the package.
func (k *Key) Params() Params {
	return Params{Normalizer: NormalizerVersion, Classes: ClassesVersion, Seed: Seed, KeyID: k.id}
}

// Pages is the key of the fingerprints of the layouts of pages. They are kept apart from
// those of text, and mean nothing among them.
func (k *Key) Pages() *Key { return deriveKey([keyBytes]byte(k.Derive("pages", keyBytes))) }

// PageParams are the parameters of fingerprints of layouts that are made with Pages.
func (k *Key) PageParams() Params { return Params{Seed: PageSeed, KeyID: k.Pages().ID()} }

// String returns the key's id, so that no formatting reveals the secret.
func (k *Key) String() string { return "key " + k.id }

// GoString is String.
func (k *Key) GoString() string { return k.String() }

// LogValue is String.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
