package extract

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/sealprint/sealprint/ingest"
)

// mailOf makes a mail with parts, each a header and a body.
func mailOf(subject string, parts ...string) string {
	var b strings.Builder
	b.WriteString("From: somebody@example.org\nTo: other@example.org\nSubject: " + subject + "\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=cut\n\n")
	for i := 0; i < len(parts); i += 2 {
		b.WriteString("--cut\n" + parts[i] + "\n\n" + parts[i+1] + "\n")
	}
	return b.String() + "--cut--\n"
}

// TestMail: subject, text and attachments are read; who wrote to whom is not.
func TestMail(t *testing.T) {
	p := testPool(t, 1)
	inner := strings.ReplaceAll(mailOf("Inner", "Content-Type: text/plain", "inner text"), "cut", "inner-cut")
	const attached = "Content-Disposition: attachment; filename=memo"
	little := utf16Bytes(mailOf("Budget", "Content-Type: text/plain", "the grant"))
	for _, test := range []struct{ name, content, want string }{
		{"plain", mailOf("Budget", "Content-Type: text/plain", "the grant"), "|Budget the grant"},
		{"encoded", mailOf("=?utf-8?B?2KfYsdiv2Yg=?=", "Content-Type: text/plain; charset=windows-1256\nContent-Transfer-Encoding: quoted-printable", "=C7=E1=E3=C7=E1=ED=C9"), "|اردو المالية"},
		{"twice the same", mailOf("S", "Content-Type: text/plain", "the  grant", "Content-Type: text/html", "<p>The <b>grant</b>"), "|S The grant"},
		{"two things", mailOf("S", "Content-Type: text/plain", "plain", "Content-Type: text/html", "<p>html"), "|S plain html"},
		{"attachments", mailOf("S", "Content-Type: text/plain", "see", "Content-Type: text/plain\n"+attached+".txt", "the memo", "Content-Type: message/rfc822\n"+attached, inner),
			"|S see|attachment 1|the memo|attachment 2|Inner inner text"},
		{"body of no known type", mailOf("S", "Content-Type: text/plain\nContent-Transfer-Encoding: base64", "RmluYW5jZSABAiBEaXZpc2lvbg=="), "|S Finance \x01\x02 Division"},
		{"logo", mailOf("S", "Content-Type: text/plain", "see", "Content-Type: image/png\nContent-Disposition: inline\nContent-Transfer-Encoding: base64", "iVBORw0KGgo="), "|S see"},
		{"folder of one", "From x Mon Jan 1 00:00:00 2024\n" + mailOf("S", "Content-Type: text/plain", "see"), "|S see"},
		{"in two bytes", little, "|Budget the grant"},
		{"Outlook", oleOf(t, map[string]string{"__properties_version1.0": strings.Repeat("\x00", 32), "__substg1.0_0037001F": utf16Bytes("Budget")[2:], "__substg1.0_1000001E": "the grant", "__substg1.0_0C1A001F": utf16Bytes("Somebody")[2:]}), "|Budget the grant"},
		{"Outlook, packed", oleOf(t, map[string]string{"__properties_version1.0": strings.Repeat("\x00", 32), "__substg1.0_10090102": packedRTF}), "||text|hello world"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := extract(t, p, test.content)
			if s := partsAndTexts(r); s != test.want {
				t.Errorf("%s (%s) gave\n%q, want\n%q", r.MediaType, r.Reason, s, test.want)
			}
			if s := fmt.Sprint(r); strings.Contains(s, "example.org") || strings.Contains(s, "Somebody") {
				t.Error("a person is told")
			}
		})
	}
}

// packedRTF is the example of [MS-OXRTFCP], section 3.1: {\rtf1\ansi\ansicpg1252\pard hello world}
const packedRTF = "\x2d\x00\x00\x00\x2b\x00\x00\x00\x4c\x5a\x46\x75\xf1\xc5\xc7\xa7\x03\x00\x0a\x00\x72\x63\x70\x67\x31\x32\x35\x42\x32\x0a\xf3\x20\x68\x65\x6c\x09\x00\x20\x62\x77\x05\xb0\x6c\x64\x7d\x0a\x80\x0f\xa0"

func utf16Bytes(s string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

// oleOf makes an OLE2 file of streams at its root: a sector of the allocation table,
// the directory, and the streams, each at least 4096 bytes so that it needs no mini
// stream; text is padded with zeros, which end it.
func oleOf(t testing.TB, streams map[string]string) string {
	t.Helper()
	const sector, end = 512, 0xFFFFFFFE
	names := make([]string, 0, len(streams))
	for name := range streams {
		names = append(names, name)
	}
	directory := make([]byte, (len(names)+1+3)/4*4*128)
	entry := func(i int, name string, kind byte, right, child, start uint32, size uint64) {
		e := directory[i*128:]
		u := utf16Bytes(name)[2:]
		copy(e, u)
		binary.LittleEndian.PutUint16(e[64:], uint16(len(u)+2))
		e[66], e[67] = kind, 1
		binary.LittleEndian.PutUint32(e[68:], 0xFFFFFFFF)
		binary.LittleEndian.PutUint32(e[72:], right)
		binary.LittleEndian.PutUint32(e[76:], child)
		binary.LittleEndian.PutUint32(e[116:], start)
		binary.LittleEndian.PutUint64(e[120:], size)
	}
	var fat []uint32
	chain := func(n int) uint32 {
		start := uint32(len(fat))
		for i := range n {
			next := start + uint32(i) + 1
			if i == n-1 {
				next = end
			}
			fat = append(fat, next)
		}
		return start
	}
	fat = append(fat, 0xFFFFFFFD)
	chain(len(directory) / sector)
	var body strings.Builder
	for i, name := range names {
		right := uint32(i + 2)
		if i == len(names)-1 {
			right = 0xFFFFFFFF
		}
		content := streams[name]
		size := len(content)
		padded := content + strings.Repeat("\x00", max(4096, (size+sector-1)/sector*sector)-size)
		if !strings.Contains(name, "1009") && !strings.Contains(name, "properties") {
			content = padded
		}
		entry(i+1, name, 2, right, 0xFFFFFFFF, chain(len(padded)/sector), uint64(max(len(content), 4096)))
		body.WriteString(padded)
	}
	entry(0, "Root Entry", 5, 0xFFFFFFFF, 1, end, 0)
	table := make([]byte, sector)
	for i := range sector / 4 {
		value := uint32(0xFFFFFFFF)
		if i < len(fat) {
			value = fat[i]
		}
		binary.LittleEndian.PutUint32(table[i*4:], value)
	}
	if len(fat) > sector/4 {
		t.Fatal("more than one sector of the table")
	}
	head := make([]byte, sector)
	copy(head, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
	for at, value := range map[int]uint16{24: 0x3e, 26: 3, 28: 0xFFFE, 30: 9, 32: 6} {
		binary.LittleEndian.PutUint16(head[at:], value)
	}
	for at, value := range map[int]uint32{44: 1, 48: 1, 56: 4096, 60: end, 68: end} {
		binary.LittleEndian.PutUint32(head[at:], value)
	}
	for at := 76; at < sector; at += 4 {
		binary.LittleEndian.PutUint32(head[at:], 0xFFFFFFFF)
	}
	binary.LittleEndian.PutUint32(head[76:], 0)
	return string(head) + string(table) + string(directory) + body.String()
}

func TestSniffOLE(t *testing.T) {
	for name, want := range map[string]string{
		"WordDocument": docType, "Workbook": xlsType, "PowerPoint Document": pptType, "EncryptedPackage": encryptedType, "Other": oleType,
	} {
		if got := sniff(fileOf([]byte(oleOf(t, map[string]string{name: "x"})))); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// Parts in parts in parts, without end, end at once.
func TestDeepMail(t *testing.T) {
	p := testPool(t, 1)
	var b strings.Builder
	b.WriteString("MIME-Version: 1.0\n")
	for i := range 100_000 {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	if r := extract(t, p, b.String()); r.Status != ingest.StatusLimit {
		t.Errorf("%s: %s", r.Status, r.Reason)
	}
}

func FuzzMail(f *testing.F) {
	fuzzReader(f, readMail, mailOf("S", "Content-Type: text/plain", "a", "Content-Type: text/html", "<p>b"))
}

func FuzzMSG(f *testing.F) {
	fuzzReader(f, readMSG, oleOf(f, map[string]string{"__properties_version1.0": "x", "__substg1.0_0037001F": "a", "__substg1.0_10090102": packedRTF}))
}

func FuzzPackedRTF(f *testing.F) {
	f.Add([]byte(packedRTF))
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, _ := decompressRTF(b); len(out) > ingest.MaxTextBytes+17*8 {
			t.Errorf("%d bytes", len(out))
		}
	})
}
