package index

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// manifest says what the index consists of. Replacing it is the one step that
// makes a flush or a merge happen.
type manifest struct {
	// Identity is drawn when the index is made, so that no version of it is
	// mistaken for one of an index that was in the same place before.
	Identity string             `json:"identity"`
	Params   fingerprint.Params `json:"params"`
	// Flushed is the number of the last log whose postings are in segments;
	// logs above it are replayed. Seq is the number of changes up to its end.
	Flushed uint64 `json:"flushed"`
	Seq     uint64 `json:"seq"`
	// Direct is the number of Appends that went into a segment without the log.
	Direct    uint64            `json:"direct,omitempty"`
	Collected uint64            `json:"collected"`
	Segments  []manifestSegment `json:"segments"`
	// Deleted are all ordinals ever deleted: the differences of the ascending
	// list as varints.
	Deleted []byte `json:"deleted,omitempty"`
}

type manifestSegment struct {
	Number    uint64 `json:"number"`
	Bytes     int64  `json:"bytes"`
	Documents int    `json:"documents"`
	Postings  int    `json:"postings"`
}

func (s manifestSegment) name() string { return fileName(s.Number, segSuffix) }

const manifestHeader = "sealprint index, format %d, checksum %016x\n"

func newManifest(params fingerprint.Params) manifest {
	identity := make([]byte, 6)
	rand.Read(identity)
	return manifest{Identity: hex.EncodeToString(identity), Params: params}
}

func (m manifest) encode() ([]byte, error) {
	body, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return append(fmt.Appendf(nil, manifestHeader, FormatVersion, xxhash.Sum64(body)), body...), nil
}

func (m manifest) commit(d disk) error {
	content, err := m.encode()
	if err != nil {
		return err
	}
	if err := replaceFile(d, manifestName, content); err != nil {
		return fmt.Errorf("commit manifest: %w", err)
	}
	return nil
}

// readManifest reads the manifest of an index; os.IsNotExist holds for the
// error when there is none.
func readManifest(d disk) (m manifest, err error) {
	content, err := d.read(manifestName)
	if err != nil {
		return m, err
	}
	var version uint32
	var sum uint64
	if _, err := fmt.Sscanf(string(content[:min(len(content), 80)]), manifestHeader, &version, &sum); err != nil {
		return m, fmt.Errorf("manifest: header: %w", storage.ErrCorrupt)
	}
	if err := checkFormat(version); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	header := len(fmt.Sprintf(manifestHeader, version, sum))
	if header > len(content) || xxhash.Sum64(content[header:]) != sum {
		return m, fmt.Errorf("manifest: checksum: %w", storage.ErrCorrupt)
	}
	if err := json.Unmarshal(content[header:], &m); err != nil {
		return m, fmt.Errorf("manifest: %w: %v", storage.ErrCorrupt, err)
	}
	return m, nil
}

func encodeOrdinals(ordinals []storage.Ordinal) []byte {
	var b []byte
	last := uint64(0)
	for _, o := range ordinals {
		b = binary.AppendUvarint(b, uint64(o)-last)
		last = uint64(o)
	}
	return b
}

func decodeOrdinals(b []byte) ([]storage.Ordinal, error) {
	var ordinals []storage.Ordinal
	last := uint64(0)
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		last += gap
		if n <= 0 || last > uint64(^storage.Ordinal(0)) || gap == 0 && len(ordinals) > 0 {
			return nil, fmt.Errorf("deleted ordinals: %w", storage.ErrCorrupt)
		}
		ordinals = append(ordinals, storage.Ordinal(last))
		b = b[n:]
	}
	return ordinals, nil
}
