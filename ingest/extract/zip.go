package extract

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"math"
	"strings"

	"github.com/sealprint/sealprint/ingest"
)

// archive is a ZIP file, of which office files are made, that can be read
// without being filled by it: nothing that its directory says of sizes is
// believed, except that it is too much.
type archive struct {
	*zip.Reader
	out    *Output
	named  map[string]*zip.File  // by name, as entryKey has it
	linked map[string][]relation // what a part refers to, once it was asked for
	end    *Failure              // of a part without text
}

// openZip opens a ZIP file. The error is a [Failure] or a damaged file's.
func openZip(f File, out *Output) (*archive, error) {
	r, err := directory(f)
	if err != nil {
		return nil, err
	}
	a := &archive{Reader: r, out: out, named: map[string]*zip.File{}, linked: map[string][]relation{}}
	for _, e := range r.File {
		if key := entryKey(e.Name); a.named[key] == nil {
			a.named[key] = e
		}
	}
	return a, nil
}

// directory reads which entries a ZIP file has. It is held in memory, and files
// have been made that consist of nothing else.
func directory(f File) (*zip.Reader, error) {
	b := &partly{f, ingest.MaxDirectoryBytes}
	r, err := zip.NewReader(b, f.Size)
	// Paths lead nowhere here: nothing is unpacked.
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, err
	}
	if len(r.File) > ingest.MaxEntries {
		return nil, failf(ingest.StatusLimit, "more than %d entries in an archive", ingest.MaxEntries)
	}
	b.left = math.MaxInt64 // entries are metered when they are read
	return r, nil
}

// partly is a file of which only so much is read.
type partly struct {
	io.ReaderAt
	left int64
}

func (b *partly) ReadAt(p []byte, at int64) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, failf(ingest.StatusLimit, "more than %d entries in an archive", ingest.MaxEntries)
	}
	return b.ReaderAt.ReadAt(p, at)
}

// entryKey is what names of the same entry have in common: office programs ignore
// case, and some that make office files write paths as Windows does.
func entryKey(name string) string {
	return strings.ToLower(strings.TrimPrefix(strings.ReplaceAll(name, `\`, "/"), "/"))
}

// file returns the entry of a name, or nil.
func (a *archive) file(name string) *zip.File { return a.named[entryKey(name)] }

// stream reads an entry from its beginning. Reading it may fail with a [Failure]
// that says which limit it exceeds. The caller closes it.
func (a *archive) stream(e *zip.File) (io.ReadCloser, error) {
	if e.Flags&1 != 0 {
		return nil, failf(ingest.StatusEncrypted, "needs a password")
	}
	if e.UncompressedSize64 > ingest.MaxInflatedBytes {
		return nil, failf(ingest.StatusLimit, "an entry of over %d MB in an archive", ingest.MaxInflatedBytes>>20)
	}
	packed := int64(min(e.CompressedSize64, uint64(ingest.MaxFileBytes)))
	// The library refuses an entry that unpacks to more than its directory says.
	if most := max(ingest.MinRatioBytes, packed*ingest.MaxRatio); e.UncompressedSize64 > uint64(most) {
		return nil, errRatio
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{a.out.Inflate(r), r}, nil
}

var errRatio = failf(ingest.StatusLimit, "unpacks to over %d times its size", ingest.MaxRatio)

// ratio ends a stream that becomes larger than its packed size can honestly make it.
type ratio struct {
	r    io.Reader
	left int64
}

func (r *ratio) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, errRatio
	}
	return n, err
}

// load reads an entry into memory.
func (a *archive) load(e *zip.File) (File, error) {
	r, err := a.stream(e)
	if err != nil {
		return File{}, err
	}
	defer r.Close()
	return load(r)
}

// load reads a file that lies in another into memory.
func load(r io.Reader) (File, error) {
	b, err := io.ReadAll(io.LimitReader(r, ingest.MaxInsideBytes+1))
	if err != nil {
		return File{}, err
	}
	if len(b) > ingest.MaxInsideBytes {
		return File{}, failf(ingest.StatusLimit, "a file of over %d MB inside", ingest.MaxInsideBytes>>20)
	}
	return fileOf(b), nil
}

// ioSection reads a file from its beginning.
func ioSection(f File) *io.SectionReader { return io.NewSectionReader(f, 0, f.Size) }

func fileOf(b []byte) File { return File{bytes.NewReader(b), int64(len(b))} }
