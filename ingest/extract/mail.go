package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jhillyerd/enmime/v2"
	"github.com/richardlehane/mscfb"
	"golang.org/x/text/encoding/unicode"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/ingest"
)

// Of mails subject, text and attachments are read, and not who wrote them to whom:
// what is looked at is content.

// readMail reads a mail in the format of the internet.
func readMail(f File, out *Output) error {
	b, err := readAll(f)
	if err != nil {
		return err
	}
	if order := utf16Order(b); order != nil {
		b = []byte(decodeUTF16(b, order))
	}
	if bytes.HasPrefix(b, []byte("From ")) { // of a folder of mails in one file
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	// The library follows parts in parts without a bound, and reads each line once for
	// every one around it.
	if bytes.Count(bytes.ToLower(b), []byte("boundary")) > ingest.MaxBoundaries || bytes.Count(b, []byte("\n--")) > 2*ingest.MaxEntries {
		return failf(ingest.StatusLimit, "more parts in a mail than %d in parts, or %d", ingest.MaxBoundaries, ingest.MaxEntries)
	}
	mail, err := enmime.NewParser(enmime.MaxStoredPartErrors(1), enmime.SkipMalformedParts(true), enmime.MultipartWOBoundaryAsSinglePart(true)).ReadEnvelope(bytes.NewReader(b))
	if err != nil {
		return err
	}
	m := message{subject: mail.GetHeader("Subject")}
	parts := 0
	mail.Root.DepthMatchAll(func(p *enmime.Part) bool {
		if parts++; parts > ingest.MaxEntries {
			return false
		}
		switch {
		case strings.HasPrefix(p.ContentType, "multipart/") || len(p.Content) == 0:
		case p.Disposition != "attachment" && p.ContentType == "text/html":
			m.html += htmlText(string(p.Content)) + "\n"
		case p.Disposition != "attachment" && p.FileName == "" && (p.ContentType == "text/plain" || p.ContentType == "") && isBody(p.Content, out):
			m.plain += string(p.Content) + "\n"
		case p.ContentType == "application/pgp-signature" || p.ContentType == "application/pkcs7-signature":
		default:
			m.attachments = append(m.attachments, attachment{file: p.Content, inline: p.Disposition != "attachment"})
		}
		return false
	})
	if parts > ingest.MaxEntries {
		return failf(ingest.StatusLimit, "more than %d parts in a mail", ingest.MaxEntries)
	}
	return m.read("", out)
}

// message is a mail of either format.
type message struct {
	subject, plain, html string
	rtf                  []byte
	attachments          []attachment
}

type attachment struct {
	file   []byte
	inner  *message // a mail, instead of a file
	inline bool
	closed bool // encrypted
}

func (m *message) read(called string, out *Output) error {
	// Most mails say the same twice.
	text := m.plain
	plain, html := string(fingerprint.Normalize(m.plain).Chars), string(fingerprint.Normalize(m.html).Chars)
	switch {
	case strings.Contains(html, plain):
		text = m.html
	case !strings.Contains(plain, html):
		text = m.plain + "\n" + m.html
	}
	if err := out.Page(ingest.Page{Part: called, Text: strings.TrimSpace(m.subject + "\n\n" + text)}); err != nil {
		return err
	}
	if strings.TrimSpace(text) == "" && len(m.rtf) > 0 {
		if err := out.Inside(join(called, "text"), fileOf(m.rtf)); err != nil {
			return err
		}
	}
	for i, a := range m.attachments {
		part := join(called, numbered("attachment", i+1))
		var err error
		switch {
		case a.closed:
			err = out.Page(ingest.Page{Part: part, Reason: "encrypted: protected by rights management"})
		case a.inner != nil:
			err = a.inner.read(part, out)
		default:
			f := fileOf(a.file)
			if a.inline && isOrnament(f, out) {
				continue
			}
			err = out.Inside(part, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isBody reports whether what calls itself text is no file that has a reader of its own.
func isBody(b []byte, out *Output) bool {
	mediaType := sniff(fileOf(b))
	return isText(mediaType) || !out.Reads(mediaType)
}

// isOrnament reports whether what stands in a mail is a logo, or a signature that only mail
// programs know.
func isOrnament(f File, out *Output) bool {
	mediaType := sniff(f)
	return strings.HasPrefix(mediaType, "image/") && f.Size < ingest.MinPictureBytes || !out.Reads(mediaType)
}

// OLE2 is the container of Office files before 2007, of Outlook mails, and of
// encrypted files of any version.
const (
	oleType       = "application/x-ole-storage"
	docType       = "application/msword"
	xlsType       = "application/vnd.ms-excel"
	pptType       = "application/vnd.ms-powerpoint"
	msgType       = "application/vnd.ms-outlook"
	encryptedType = "application/x-ole-encrypted"
)

// sniffOLE finds out what an OLE2 file is by the streams in it.
func sniffOLE(f File) string {
	found := oleType
	_ = try(func() {
		doc, err := mscfb.New(f)
		if err != nil {
			return
		}
		entries := 0
		for e, err := doc.Next(); err == nil && entries < ingest.MaxEntries; e, err = doc.Next() {
			entries++
			if len(e.Path) > 0 {
				continue
			}
			head := make([]byte, 16)
			n, _ := io.ReadFull(e, head)
			switch e.Name {
			case "EncryptedPackage":
				found = encryptedType
				return
			case "WordDocument": // [MS-DOC] 2.5.2, FibBase.fEncrypted
				if found = docType; n == len(head) && head[11]&1 != 0 {
					found = encryptedType
					return
				}
			case "Current User": // [MS-PPT] 2.3.2, CurrentUserAtom.headerToken
				if n == len(head) && string(head[12:]) == "\xdf\xc4\xd1\xf3" {
					found = encryptedType
					return
				}
			case "Workbook", "Book":
				found = xlsType
			case "PowerPoint Document", "PP40", "PP97_DUALSTORAGE":
				found = pptType
			case "__properties_version1.0":
				found = msgType
			}
		}
	})
	return found
}

func readEncrypted(File, *Output) error { return failf(ingest.StatusEncrypted, "needs a password") }

// readMSG reads a mail in the format of Outlook ([MS-OXMSG]): each property is a
// stream, each attachment a storage.
func readMSG(f File, out *Output) error {
	doc, err := mscfb.New(f)
	if err != nil {
		return err
	}
	root := &message{}
	byPath := map[string]*message{"": root}
	attachments := map[string]int{}
	entries, total := 0, 0
	for e, err := doc.Next(); err == nil; e, err = doc.Next() {
		if entries++; entries > ingest.MaxEntries {
			return failf(ingest.StatusLimit, "more than %d streams in a mail", ingest.MaxEntries)
		}
		m, a := owner(byPath, attachments, e.Path)
		property, ok := strings.CutPrefix(e.Name, "__substg1.0_")
		if m == nil || !ok || len(property) != 8 || e.Size <= 0 {
			continue
		}
		if total += int(min(e.Size, 1<<40)); e.Size > ingest.MaxInsideBytes || total > ingest.MaxFileBytes {
			return failf(ingest.StatusLimit, "a file of over %d MB inside", ingest.MaxInsideBytes>>20)
		}
		b := make([]byte, e.Size)
		n, readErr := io.ReadFull(e, b)
		if b = b[:n]; readErr != nil && n == 0 {
			continue
		}
		if a != nil {
			switch property[:4] {
			case "3701":
				a.file = b
			case "370E":
				a.closed = strings.Contains(propertyText(property, b), "rpmsg")
			}
			continue
		}
		switch property[:4] {
		case "0037":
			m.subject = propertyText(property, b)
		case "1000":
			m.plain = propertyText(property, b)
		case "1013":
			if property[4:] == "0102" {
				m.html = htmlText(decodeHTML(b))
			} else {
				m.html = htmlText(propertyText(property, b))
			}
		case "1009":
			if m.rtf, err = decompressRTF(b); err != nil {
				m.rtf = nil
			}
		}
	}
	root.drop()
	return root.read("", out)
}

// owner finds the message that a stream is of, and the attachment if it is one's.
// Storages of recipients have none.
func owner(byPath map[string]*message, attachments map[string]int, storages []string) (*message, *attachment) {
	m := byPath[""]
	var a *attachment
	at := ""
	for _, s := range storages {
		at += "/" + s
		switch {
		case a == nil && strings.HasPrefix(s, "__attach_version1.0_"):
			i, ok := attachments[at]
			if !ok {
				i = len(m.attachments)
				attachments[at] = i
				m.attachments = append(m.attachments, attachment{})
			}
			a = &m.attachments[i]
		case a != nil && s == "__substg1.0_3701000D" && len(storages) <= 2*ingest.MaxNesting:
			if a.inner == nil {
				a.inner = &message{}
			}
			m, a = a.inner, nil
		default:
			return nil, nil
		}
	}
	return m, a
}

// drop forgets attachments that hold nothing.
func (m *message) drop() {
	kept := m.attachments[:0]
	for _, a := range m.attachments {
		if a.inner != nil {
			a.inner.drop()
		}
		if a.inner != nil || len(a.file) > 0 || a.closed {
			kept = append(kept, a)
		}
	}
	m.attachments = kept
}

// propertyText decodes a text: 001F is UTF-16, 001E some code page.
func propertyText(property string, b []byte) string {
	text := ""
	if property[4:] == "001F" {
		text = decode(b, unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM))
	} else {
		text = decodeText(bytes.TrimRight(b, "\x00"))
	}
	return strings.TrimRight(text, "\x00")
}

// rtfPrelude is what the dictionary of compressed RTF begins with.
const rtfPrelude = `{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbolArialTimes New RomanCourier` +
	"{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"

// decompressRTF undoes the compression of [MS-OXRTFCP]: runs of eight tokens behind
// a byte of flags, each a byte or a reference to the last 4 KB.
func decompressRTF(b []byte) ([]byte, error) {
	const header, window = 16, 4096
	if len(b) < header {
		return nil, errors.New("too short")
	}
	switch in := b[header:]; string(b[8:12]) {
	case "MELA":
		return in, nil
	case "LZFu":
		var dictionary [window]byte
		at := copy(dictionary[:], rtfPrelude)
		var out []byte
		put := func(c byte) {
			out = append(out, c)
			dictionary[at%window] = c
			at++
		}
		for len(in) > 0 && len(out) < ingest.MaxTextBytes {
			flags := in[0]
			in = in[1:]
			for bit := 0; bit < 8 && len(in) > 0; bit++ {
				if flags>>bit&1 == 0 {
					put(in[0])
					in = in[1:]
					continue
				}
				if len(in) < 2 {
					return out, nil
				}
				reference := int(in[0])<<8 | int(in[1])
				in = in[2:]
				from, n := reference>>4, reference&15+2
				if from == at%window { // the end
					return out, nil
				}
				for i := range n {
					put(dictionary[(from+i)%window])
				}
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("unknown compression")
}
