package extract

import (
	"strconv"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

	"github.com/sealprint/sealprint/ingest"
)

// readRTF reads Rich Text Format: groups in braces, control words after a backslash,
// and text in the code page of its font.
func readRTF(f File, out *Output) error {
	b, err := readAll(f)
	if err != nil {
		return err
	}
	r := &rtf{in: string(b), fonts: map[int]encoding.Encoding{}, page: charmap.Windows1252}
	end := r.read()
	for i, text := range append(r.pages, r.out.String()) {
		if i > 0 && i == len(r.pages) && strings.TrimSpace(text) == "" {
			break
		}
		if err := out.Page(ingest.Page{Text: text}); err != nil {
			return err
		}
	}
	return end
}

// rtf is the state of reading a file.
type rtf struct {
	in    string
	at    int
	out   strings.Builder
	pages []string
	page  encoding.Encoding         // of the document
	fonts map[int]encoding.Encoding // of fonts that have another
	bytes []byte                    // not decoded yet
	group rtfGroup
	stack []rtfGroup
	high  rune // first half of a surrogate pair
}

// rtfGroup is what ends with a group.
type rtfGroup struct {
	skip  bool // not text
	table bool // in the table of fonts
	font  int
	plain int // characters that stand for those who know no \u
}

func (r *rtf) read() error {
	r.group = rtfGroup{plain: 1}
	skipPlain := 0
	for r.at < len(r.in) {
		c := r.in[r.at]
		r.at++
		switch c {
		case '{':
			r.flush()
			if len(r.stack) == ingest.MaxXMLDepth {
				return failf(ingest.StatusLimit, "groups over %d deep", ingest.MaxXMLDepth)
			}
			r.stack = append(r.stack, r.group)
			skipPlain = 0
		case '}':
			r.flush()
			if n := len(r.stack); n > 0 {
				r.group, r.stack = r.stack[n-1], r.stack[:n-1]
			}
			skipPlain = 0
		case '\\':
			word, arg, has := r.control()
			switch {
			case word == "'" && skipPlain > 0:
				skipPlain--
			case word == "'":
				if !r.group.skip {
					r.bytes = append(r.bytes, byte(arg))
				}
			case word == "u":
				r.flush()
				r.unicode(arg)
				skipPlain = r.group.plain
			case word == "bin":
				r.at = min(r.at+max(arg, 0), len(r.in))
			default:
				r.flush()
				if err := r.word(word, arg, has); err != nil {
					return err
				}
			}
		case '\r', '\n':
		default:
			switch {
			case skipPlain > 0:
				skipPlain--
			case !r.group.skip:
				r.bytes = append(r.bytes, c)
			}
		}
	}
	r.flush()
	return nil
}

// control reads a control word behind its backslash.
func (r *rtf) control() (word string, arg int, has bool) {
	if r.at >= len(r.in) {
		return "", 0, false
	}
	c := r.in[r.at]
	if !isASCIILetter(c) {
		r.at++
		if c == '\'' {
			n, err := strconv.ParseUint(r.in[r.at:min(r.at+2, len(r.in))], 16, 8)
			r.at = min(r.at+2, len(r.in))
			if err != nil {
				return "", 0, false
			}
			return "'", int(n), true
		}
		return string(c), 0, false
	}
	start := r.at
	for r.at < len(r.in) && isASCIILetter(r.in[r.at]) && r.at-start < 32 {
		r.at++
	}
	word = r.in[start:r.at]
	start = r.at
	if r.at < len(r.in) && r.in[r.at] == '-' {
		r.at++
	}
	for r.at < len(r.in) && r.in[r.at] >= '0' && r.in[r.at] <= '9' && r.at-start < 11 {
		r.at++
	}
	arg, err := strconv.Atoi(r.in[start:r.at])
	has = err == nil
	if r.at < len(r.in) && r.in[r.at] == ' ' {
		r.at++
	}
	return word, arg, has
}

func isASCIILetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// rtfSkipped are destinations that are no text. Those that begin with \* are not,
// either, unless they are known to be.
var rtfSkipped = map[string]bool{
	"fonttbl": true, "colortbl": true, "stylesheet": true, "info": true, "pict": true, "objdata": true, "themedata": true, "colorschememapping": true,
	"datastore": true, "latentstyles": true, "listtable": true, "listoverridetable": true, "rsidtbl": true, "generator": true, "xmlnstbl": true,
	"fldinst": true, "filetbl": true, "revtbl": true, "nonshppict": true, "bkmkstart": true, "bkmkend": true, "pnseclvl": true, "author": true,
	"atnid": true, "atnauthor": true, "atndate": true, "atnref": true, "falt": true, "panose": true, "sn": true, "sp": true, "xe": true,
}

var rtfStarred = map[string]bool{"shptxt": true, "shpinst": true, "annotation": true, "footnote": true, "fldrslt": true, "shppict": true, "listtext": true, "pntext": true}

var rtfText = map[string]string{
	"tab": "\t", "line": "\n", "par": "\n", "sect": "\n", "cell": "\t", "nestcell": "\t", "row": "\n", "nestrow": "\n",
	"emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•",
	"emspace": " ", "enspace": " ", "qmspace": " ", "~": "\u00a0", "_": "-", "\\": "\\", "{": "{", "}": "}",
	"\n": "\n", "\r": "\n",
}

// rtfCharsets are the encodings of fonts by their number.
var rtfCharsets = map[int]encoding.Encoding{
	0: charmap.Windows1252, 77: charmap.Macintosh, 128: japanese.ShiftJIS, 129: korean.EUCKR, 134: simplifiedchinese.GBK, 136: traditionalchinese.Big5,
	161: charmap.Windows1253, 162: charmap.Windows1254, 163: charmap.Windows1258, 177: charmap.Windows1255, 178: charmap.Windows1256,
	179: charmap.Windows1256, 180: charmap.Windows1256, 186: charmap.Windows1257, 204: charmap.Windows1251, 222: charmap.Windows874,
	238: charmap.Windows1250,
}

// word obeys a control word.
func (r *rtf) word(word string, arg int, has bool) error {
	if s, ok := rtfText[word]; ok {
		return r.write(s)
	}
	switch word {
	case "*":
		// What follows is skipped by those who do not know it.
		if r.at < len(r.in) && r.in[r.at] == '\\' {
			r.at++
			name, _, _ := r.control()
			r.group.skip = r.group.skip || !rtfStarred[name]
		}
	case "fonttbl":
		r.group.skip, r.group.table = true, true
	case "f":
		r.group.font = arg
	case "fcharset":
		if e := rtfCharsets[arg]; r.group.table && e != nil && len(r.fonts) < 10_000 {
			r.fonts[r.group.font] = e
		}
	case "ansicpg":
		if e := codePage(arg); e != nil {
			r.page = e
		}
	case "mac":
		r.page = charmap.Macintosh
	case "pc":
		r.page = charmap.CodePage437
	case "pca":
		r.page = charmap.CodePage850
	case "uc":
		r.group.plain = min(max(arg, 0), 16)
	case "page":
		if len(r.stack) == 1 && len(r.pages) < ingest.MaxPages {
			r.pages = append(r.pages, r.out.String())
			r.out.Reset()
			return nil
		}
		return r.write("\n")
	default:
		r.group.skip = r.group.skip || rtfSkipped[word]
	}
	return nil
}

// codePage is an encoding by its number in Windows.
func codePage(n int) encoding.Encoding {
	switch n {
	case 932:
		return japanese.ShiftJIS
	case 936:
		return simplifiedchinese.GBK
	case 949:
		return korean.EUCKR
	case 950:
		return traditionalchinese.Big5
	case 437:
		return charmap.CodePage437
	case 850:
		return charmap.CodePage850
	case 10000:
		return charmap.Macintosh
	}
	if e, err := htmlindex.Get("windows-" + strconv.Itoa(n)); err == nil {
		return e
	}
	return nil
}

// unicode writes a character that is given as a 16-bit number with a sign.
func (r *rtf) unicode(n int) {
	if r.group.skip {
		return
	}
	c := rune(uint16(n))
	switch {
	case c >= 0xD800 && c < 0xDC00:
		r.high = c
		return
	case c >= 0xDC00 && c < 0xE000:
		c = (r.high-0xD800)<<10 | (c - 0xDC00) + 0x10000
		r.high = 0
	case c >= 0xF000 && c < 0xF100:
		c -= 0xF000 // a font of symbols
	}
	_ = r.write(string(c)) // what it fails with, the next bytes fail with
}

// flush decodes bytes in the encoding of the font.
func (r *rtf) flush() {
	if len(r.bytes) == 0 {
		return
	}
	e := r.fonts[r.group.font]
	if e == nil {
		e = r.page
	}
	_ = r.write(decode(r.bytes, e))
	r.bytes = r.bytes[:0]
}

func (r *rtf) write(s string) error {
	if r.group.skip {
		return nil
	}
	if r.out.Len()+len(s) > ingest.MaxTextBytes {
		return failf(ingest.StatusLimit, "more than %d MB of text", ingest.MaxTextBytes>>20)
	}
	r.out.WriteString(s)
	return nil
}
