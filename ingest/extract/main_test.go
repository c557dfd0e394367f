package extract

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sealprint/sealprint/ingest"
)

// TestMain makes the test binary its own reader, as the program is, with one
// reader more: it does what the file says.
func TestMain(m *testing.M) {
	if code, is := childWith(os.Args, func(cache string) []Reader {
		return append(Readers(cache), Reader{Name: "hostile 1", Types: []string{hostileType}, Read: obey})
	}); is {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// hostile makes a file that the hostile reader obeys: of a type that no other
// reader takes.
func hostile(commands string) string { return hostileMark + commands }

const (
	hostileMark = "!<arch>\n"
	hostileType = "application/x-archive"
)

func obey(f File, out *Output) error {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size))
	if err != nil {
		return err
	}
	page := 0
	for _, command := range strings.Fields(string(b[len(hostileMark):])) {
		switch command {
		case "page":
			page++
			err = out.Page(ingest.Page{Text: "a page of text\x00\xff"})
		case "bad":
			page++
			err = out.Page(ingest.Page{Reason: "malformed content"})
		case "big":
			page++
			err = out.Page(ingest.Page{Text: strings.Repeat("x", ingest.MaxTextBytes*3/4)})
		case "loop":
			for start := time.Now(); time.Since(start) < time.Hour; {
			}
		case "sleep":
			time.Sleep(time.Hour)
		case "recurse":
			page = recurse(1)
		case "bomb":
			for all := [][]byte{}; len(all) < 1000; {
				all = append(all, make([]byte, 64<<20))
			}
		case "panic":
			panic("the text of the file")
		case "error":
			return errors.New("the text of the file")
		case "exit":
			os.Stderr.WriteString("the text of the file")
			os.Exit(7)
		case "lie":
			// Claims a frame of 4 GB.
			os.NewFile(socketFD, "parent").Write([]byte{framePage, 0xff, 0xff, 0xff, 0xff})
		case "backwards":
			err = out.send(ingest.Page{Number: page - 1, Text: "x"})
		case "write":
			out, werr := os.CreateTemp("", "")
			if werr == nil {
				defer os.Remove(out.Name())
				_, werr = out.WriteString("x")
			}
			if errors.Is(werr, unix.EFBIG) {
				return failf(ingest.StatusDamaged, "cannot write")
			}
		case "describe":
			page++
			wd, _ := os.Getwd()
			status, _ := os.ReadFile("/proc/thread-self/status")
			i := bytes.Index(status, []byte("NoNewPrivs:\t1"))
			err = out.Page(ingest.Page{Text: strings.Join(append(os.Environ(), wd, map[bool]string{true: "no new privileges"}[i >= 0]), "|")})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func recurse(n int) int {
	if n < 0 {
		return 0
	}
	return recurse(n+1) + n
}
