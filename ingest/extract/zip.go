package extract

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"

	"github.com/sealprint/sealprint/ingest"
)

// archive is a ZIP file, of which office files are made, that can be read
// without being filled by it: nothing that its directory says of sizes is
// believed.
type archive struct {
	*zip.Reader
	out *Output
}

// openZip opens a ZIP file. The error is a [Failure] or a damaged file's.
func openZip(f File, out *Output) (*archive, error) {
	r, err := zip.NewReader(f, f.Size)
	// Paths lead nowhere here: nothing is unpacked.
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, err
	}
	if len(r.File) > ingest.MaxEntries {
		return nil, failf(ingest.StatusLimit, "more than %d entries in an archive", ingest.MaxEntries)
	}
	return &archive{r, out}, nil
}

// file returns the entry of a name, or nil.
func (a *archive) file(name string) *zip.File {
	for _, e := range a.File {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// stream reads an entry from its beginning. Reading it may fail with a [Failure]
// that says which limit it exceeds. The caller closes it.
func (a *archive) stream(e *zip.File) (io.ReadCloser, error) {
	if e.Flags&1 != 0 {
		return nil, failf(ingest.StatusEncrypted, "needs a password")
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	packed := int64(min(e.CompressedSize64, uint64(ingest.MaxFileBytes)))
	limited := &ratio{r: r, left: max(ingest.MinRatioBytes, packed*ingest.MaxRatio)}
	return struct {
		io.Reader
		io.Closer
	}{a.out.Inflate(limited), r}, nil
}

// ratio ends a stream that becomes larger than its packed size can honestly make it.
type ratio struct {
	r    io.Reader
	left int64
}

func (r *ratio) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, failf(ingest.StatusLimit, "unpacks to over %d times its size", ingest.MaxRatio)
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
