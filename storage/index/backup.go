package index

import (
	"context"
	"fmt"
	"slices"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

// Backup visits files that, put into a folder, are this index as it was when Backup
// began: segments, each compared with its checksums before it is visited, and at the
// end the manifest. Writing goes on meanwhile. A damaged or missing segment is an error of
// kind [storage.ErrCorrupt]. The content is valid until visit returns. It returns the
// ordinals that the files hold.
func (ix *Index) Backup(ctx context.Context, visit func(name string, content []byte) error) ([]storage.Ordinal, error) {
	ordinals, err := ix.backup(ctx, visit)
	if err != nil {
		return nil, fmt.Errorf("back up index: %w", err)
	}
	return ordinals, nil
}

func (ix *Index) backup(ctx context.Context, visit func(name string, content []byte) error) ([]storage.Ordinal, error) {
	// What is left in logs afterwards is later than this.
	if err := ix.flushNow(ctx); err != nil {
		return nil, err
	}
	ix.mu.Lock()
	m := ix.manifest
	v, err := ix.acquire(ctx)
	ix.mu.Unlock()
	if err != nil {
		return nil, err
	}
	defer v.release()
	if missing := v.missing(); len(missing) > 0 {
		return nil, fmt.Errorf("segment %s: %w", missing[0], storage.ErrCorrupt)
	}
	deleted, err := decodeOrdinals(m.Deleted)
	if err != nil {
		return nil, err
	}
	var ordinals []storage.Ordinal
	for _, p := range v.parts {
		if p.log != 0 {
			continue
		}
		err := guard(func() error {
			for i := range p.frames {
				if err := p.checkFrame(i); err != nil {
					ix.reportDamage(p.segment, err)
					return err
				}
				if err := yield(ctx); err != nil {
					return err
				}
			}
			for slot := range p.documents {
				if _, gone := slices.BinarySearch(deleted, p.document(slot).ordinal); !gone {
					ordinals = append(ordinals, p.document(slot).ordinal)
				}
			}
			return visit(p.name, p.data)
		})
		if err != nil {
			return nil, err
		}
	}
	content, err := m.encode()
	if err != nil {
		return nil, err
	}
	slices.Sort(ordinals)
	return ordinals, visit(manifestName, content)
}

// Contents is what stands in the files of an index.
type Contents struct {
	Identity string             `json:"identity"`
	Format   int                `json:"format"`
	Params   fingerprint.Params `json:"params"`
	Deleted  int                `json:"deleted"` // ordinals that were ever deleted
	Segments []SegmentContents  `json:"segments"`
	Logs     []LogContents      `json:"logs"`
}

// SegmentContents is what stands in a segment.
type SegmentContents struct {
	File      string            `json:"file"`
	Bytes     int               `json:"bytes"`
	Documents int               `json:"documents"`
	Postings  int               `json:"postings"`
	Rows      int               `json:"rows"`  // distinct fingerprints
	Lists     int               `json:"lists"` // of those that stand in several places
	Frames    int               `json:"frames"`
	CellBits  int               `json:"cell_bits"`
	TailBits  int               `json:"tail_bits"`
	RowBits   int               `json:"row_bits"`
	Sections  []SectionContents `json:"sections"`
	Damage    string            `json:"damage,omitempty"` // why nothing else is known
}

// SectionContents is a part of a segment.
type SectionContents struct {
	Name            string  `json:"name"`
	Bytes           int     `json:"bytes"`
	BytesPerPosting float64 `json:"bytes_per_posting"`
}

// LogContents is what stands in a log.
type LogContents struct {
	File     string `json:"file"`
	Bytes    int    `json:"bytes"`
	Appends  int    `json:"appends"`
	Deletes  int    `json:"deletes"`
	Postings int    `json:"postings"`
	Damage   string `json:"damage,omitempty"`
}

// Dump says what stands in the files of an index, and where its bytes go. It verifies
// what Open verifies, changes nothing and may run while the index is open.
func Dump(dir string) (*Contents, error) {
	d := folder(dir)
	m, err := readManifest(d)
	if err != nil {
		return nil, fmt.Errorf("dump index %s: %w", dir, err)
	}
	deleted, err := decodeOrdinals(m.Deleted)
	if err != nil {
		return nil, fmt.Errorf("dump index %s: %w", dir, err)
	}
	c := &Contents{Identity: m.Identity, Format: FormatVersion, Params: m.Params, Deleted: len(deleted)}
	for _, entry := range m.Segments {
		c.Segments = append(c.Segments, dumpSegment(d, entry, m.Params))
	}
	numbers, err := logsOf(d, m)
	if err != nil {
		return nil, fmt.Errorf("dump index %s: %w", dir, err)
	}
	next := m.Seq + 1
	for _, number := range numbers {
		l := LogContents{File: fileName(number, logSuffix)}
		data, err := d.read(l.File)
		l.Bytes = len(data)
		if err == nil {
			_, err = readLog(data, next, func(r record) error {
				next++
				l.Appends += min(1, len(r.sheets))
				l.Deletes += min(1, len(r.deleted))
				for _, s := range r.sheets {
					l.Postings += len(s.Hashes)
				}
				return nil
			})
		}
		if err != nil {
			l.Damage = err.Error()
		}
		c.Logs = append(c.Logs, l)
	}
	return c, nil
}

func dumpSegment(d disk, entry manifestSegment, params fingerprint.Params) SegmentContents {
	c := SegmentContents{File: entry.name(), Bytes: int(entry.Bytes), Documents: entry.Documents, Postings: entry.Postings}
	s, err := openSegment(d, entry.name(), params)
	if err != nil {
		c.Damage = err.Error()
		return c
	}
	defer s.close()
	c.Bytes, c.Documents, c.Postings = len(s.data), s.documents, s.postings
	c.Frames, c.CellBits, c.TailBits, c.RowBits = s.count(), s.cellBits, s.tailBits, s.rowBits()
	section := func(name string, bytes int) {
		c.Sections = append(c.Sections, SectionContents{name, bytes, float64(bytes) / float64(max(1, s.postings))})
	}
	var head, rows, starts, lists int
	for _, f := range s.frames {
		l := s.layout(f)
		head, rows, starts, lists = head+l.rows-f.at, rows+l.starts-l.rows, starts+l.lists-l.starts, lists+f.end-l.lists
		c.Rows, c.Lists = c.Rows+f.rows, c.Lists+f.lists
	}
	section("documents", len(s.section[sectionDocuments]))
	section("heads", head)
	section("rows", rows)
	section("starts of lists", starts)
	section("lists", lists)
	section("directory", len(s.section[sectionDirectory]))
	section("frame table", len(s.section[sectionTable]))
	return c
}
