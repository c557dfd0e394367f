package extract

import (
	"compress/gzip"
	"errors"
	"path"
	"strings"

	"github.com/sealprint/sealprint/ingest"
)

// readZip reads each file of an archive, in the order of its directory. What they
// are called does not matter, except for what systems put into archives unasked.
func readZip(f File, out *Output) error {
	a, err := openZip(f, out)
	if err != nil {
		return err
	}
	n := 0
	for _, e := range a.File {
		if strings.HasSuffix(e.Name, "/") || strings.HasPrefix(e.Name, "__MACOSX/") || path.Base(e.Name) == ".DS_Store" || path.Base(e.Name) == "Thumbs.db" {
			continue
		}
		n++
		called := numbered("file", n)
		inner, err := a.load(e)
		if err == nil {
			err = out.Inside(called, inner)
		} else {
			err = aside(called, err, out)
		}
		if err != nil {
			return err
		}
	}
	if n == 0 {
		return failf(ingest.StatusNoText, "the archive is empty")
	}
	return nil
}

// aside turns the failure of one file inside another into a page, unless it is a
// limit that all files share.
func aside(called string, err error, out *Output) error {
	var end *Failure
	switch {
	case out.err != nil || out.spent():
		return err
	case errors.As(err, &end):
		return out.Page(ingest.Page{Part: called, Reason: end.Error()})
	}
	return out.Page(ingest.Page{Part: called, Reason: "damaged: not readable"})
}

// readGzip reads the one file that was packed.
func readGzip(f File, out *Output) error {
	r, err := gzip.NewReader(ioSection(f))
	if err != nil {
		return err
	}
	inner, err := load(out.Inflate(&ratio{r: r, left: max(ingest.MinRatioBytes, f.Size*ingest.MaxRatio)}))
	if err != nil {
		return err
	}
	return out.Inside("file 1", inner)
}
