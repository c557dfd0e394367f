package extract

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sealprint/sealprint/ingest"
	"github.com/sealprint/sealprint/ingest/extract/pdftest"
)

// makePDF makes a PDF with a page for each content.
func makePDF(texts ...string) string {
	contents := make([]string, len(texts))
	for i, t := range texts {
		contents[i] = pdftest.Show(t)
	}
	return pdftest.Pages("", contents...)
}

func encryptedPDF() string {
	key := strings.Repeat("ab", 32)
	return pdftest.Pages(fmt.Sprintf("/Encrypt <</Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -4>> /ID [<00> <00>]", key, key), pdftest.Show("x"))
}

func TestPDF(t *testing.T) {
	p := testPool(t, 1)
	good := makePDF("Finance", "Division")
	for _, test := range []struct {
		name, content string
		want          string // status, and the text of each page
		reason        string
	}{
		{"good", good, "ok|Finance|Division", ""},
		{"version 2.0", strings.Replace(good, "%PDF-1.4\n", "%PDF-2.0\n", 1), "ok|Finance|Division", ""},
		{"space after version", strings.Replace(good, "%PDF-1.4\n", "%PDF-1.4 ", 1), "ok|Finance|Division", ""},
		{"bytes before", "HTTP/1.1 200 OK\n\n" + good, "ok|Finance|Division", ""},
		{"bytes before, offsets from the beginning of the file", "\n\n" + shifted(good, 2), "ok|Finance|Division", ""},
		{"bytes after", good + strings.Repeat("\x00", 3000), "ok|Finance|Division", ""},
		{"no end of file mark", strings.TrimSuffix(good, "%%EOF\n"), "ok|Finance|Division", ""},
		{"wrong count", strings.Replace(good, "/Count 2", "/Count 9", 1), "ok|Finance|Division", ""},
		{"one bad page", pdftest.Pages("", pdftest.Show("Finance"), "BT ) ET", pdftest.Show("Division")), "partial|Finance||Division", "page 2: malformed content"},
		{"inline image", pdftest.Pages("", pdftest.Show("Finance")+"\nq BI\n/W 9/H 1/F/Fl\nID ))(<\xff\x00 EI \xff>\nEI Q\n"+pdftest.Show("Division")), "ok|Finance\nDivision", ""},
		{"text before an error", pdftest.Pages("", pdftest.Show("Finance")+" BT ) ET"), "ok|Finance", ""},
		{"words and lines", pdftest.Pages("", "BT /F1 12 Tf [(Fin)-20(ance)-300(Division)] TJ 0 -12 Td (of) Tj 9 0 Td (Pakistan) ' ET"), "ok|Finance Division\nofPakistan", ""},
		{"form", pdftest.Build("", "<</Pages 2 0 R>>", "<</Kids [3 0 R]>>",
			"<</Type /Page /Contents 4 0 R /Resources <</XObject <</X 5 0 R>>>>>>", pdftest.Stream(pdftest.Show("Finance")+" /X Do"),
			"<</Subtype /Form /Length 19>>\nstream\nBT (Division) Tj ET\nendstream"),
			"ok|Finance Division", ""},
		{"form within itself", pdftest.Build("", "<</Pages 2 0 R>>", "<</Kids [3 0 R]>>",
			"<</Type /Page /Contents 4 0 R /Resources <</XObject <</X 5 0 R>>>>>>", pdftest.Stream(pdftest.Show("Finance")+" /X Do"),
			"<</Subtype /Form /Length 26>>\nstream\nBT (Division) Tj ET /X Do \nendstream"),
			"ok|Finance" + strings.Repeat(" Division", 40), ""},
		{"form after form", pdftest.Build("", "<</Pages 2 0 R>>", "<</Kids [3 0 R]>>",
			"<</Type /Page /Contents 4 0 R /Resources <</XObject <</X 4 0 R>>>>>>",
			"<</Subtype /Form /Length 60>>\nstream\n"+strings.Repeat("/X Do ", 10)+"\nendstream"),
			"damaged|", "page 1: malformed content"},
		{"unknown filter", pdftest.Build("", "<</Pages 2 0 R>>", "<</Kids [3 0 R]>>", "<</Type /Page /Contents 4 0 R>>", "<</Length 1 /Filter /Mystery>>\nstream\nx\nendstream"),
			"damaged|", "page 1: unknown compression"},
		{"no pages", pdftest.Pages(""), "damaged", "no page can be found in the file"},
		{"missing object", strings.Replace(good, "\n4 0 obj", "\n9 0 obj", 1), "partial||Division", "page 1: damaged page object"},
		{"cyclic parents", pdftest.Build("", "<</Pages 2 0 R>>", "<</Kids [3 0 R] /Parent 3 0 R>>", "<</Type /Page /Parent 2 0 R /Contents 4 0 R>>", pdftest.Stream(pdftest.Show("x"))),
			"ok|x", ""},
		{"absent object", strings.Replace(good, "/Kids [4 0 R", "/Kids [9 0 R", 1), "partial||Division", "page 1: damaged page object"},
		{"cyclic kids after a page", pdftest.Build("", "<</Pages 2 0 R>>", "<</Kids [3 0 R 2 0 R]>>", "<</Contents 4 0 R>>", pdftest.Stream(pdftest.Show("x"))),
			"partial" + strings.Repeat("|x", ingest.MaxTreeDepth) + "|", "page 65: damaged page object"},
		{"cyclic kids", pdftest.Build("", "<</Pages 2 0 R>>", "<</Kids [2 0 R 2 0 R]>>"), "damaged", "no page can be found in the file"},
		{"cyclic xref", cyclicXref(), "ok|x", ""},
		{"stack overflow", cyclicObjectStream(), "damaged", "no page can be found in the file"},
		{"form field and note", annotated, "ok|Finance Division\nDivision\nof Pakistan", ""},
		// Without its table the first reader finds nothing.
		{"form field, second reader", strings.Replace(annotated, "startxref", "startxxxx", 1), "ok|Finance Division", ""},
		{"text about PDF", "A file begins with\n%PDF-1.7\nand so on", "ok|A file begins with\n%PDF-1.7\nand so on", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := extract(t, p, test.content)
			got := string(r.Status)
			for _, page := range r.Pages {
				got += "|" + strings.TrimSpace(page.Text)
			}
			if got != test.want || r.Reason != test.reason {
				t.Errorf("got %q, %q\nwant %q, %q", got, r.Reason, test.want, test.reason)
			}
		})
	}
}

// annotated has a field of a form that shows its value, and a note.
var annotated = pdftest.Build("", "<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Count 1 /Kids [3 0 R]>>",
	"<</Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources <</Font <</F1 7 0 R>>>> /Annots [5 0 R 8 0 R]>>", pdftest.Stream(pdftest.Show("Finance")),
	"<</Type /Annot /Subtype /Widget /FT /Tx /F 4 /V (Division) /Rect [50 50 250 80] /AP <</N 6 0 R>>>>",
	"<</Type /XObject /Subtype /Form /BBox [0 0 200 30] /Resources <</Font <</F1 7 0 R>>>> /Length 31>>\nstream\n"+pdftest.Show("Division")+"\nendstream",
	"<</Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding>>",
	"<</Type /Annot /Subtype /Text /Contents (of Pakistan) /Rect [0 0 20 20]>>")

// shifted moves every offset in a file.
func shifted(file string, by int) string {
	body, table, _ := strings.Cut(file, "xref\n0 ")
	lines := strings.SplitAfter(table, "\n")
	for i, l := range lines {
		var offset int
		if strings.HasSuffix(l, " n \n") || i > 0 && lines[i-1] == "startxref\n" {
			width := len(l) - len(strings.TrimLeft(l, "0123456789"))
			offset, _ = strconv.Atoi(l[:width])
			lines[i] = fmt.Sprintf("%0*d", width, offset+by) + l[width:]
		}
	}
	return body + "xref\n0 " + strings.Join(lines, "")
}

// cyclicXref makes a table whose previous table is itself.
func cyclicXref() string {
	file := makePDF("x")
	at := strings.LastIndex(file, "xref\n0 ")
	return strings.Replace(file, "/Root", fmt.Sprintf("/Prev %d /Root", at), 1)
}

// cyclicObjectStream makes a file whose catalog lies in an object stream that
// lies in itself.
func cyclicObjectStream() string {
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	at := b.Len()
	// Objects 0 to 2: free; in stream 2; in stream 2.
	table := "\x00\x00\x00" + "\x02\x02\x00" + "\x02\x02\x00"
	fmt.Fprintf(&b, "3 0 obj\n<</Type /XRef /Size 3 /W [1 1 1] /Root 1 0 R /Length %d>>\nstream\n%s\nendstream\nendobj\n", len(table), table)
	fmt.Fprintf(&b, "startxref\n%d\n%%%%EOF\n", at)
	return b.String()
}

func TestMorePagesThanTheLimit(t *testing.T) {
	p := testPool(t, 1)
	r := extract(t, p, makePDF(strings.Split(strings.Repeat("x ", ingest.MaxPages+1), " ")...))
	if want := "after page 5000: more than 5000 pages"; r.Status != ingest.StatusPartial || r.Reason != want {
		t.Errorf("got %s, %q", r.Status, r.Reason)
	}
}

func TestConcat(t *testing.T) {
	texts := []string{"%PDF-1.7", "", "the middle", "\nstartxref"}
	var parts concat
	for _, text := range texts {
		parts = append(parts, part(strings.NewReader(text), 0, int64(len(text))))
	}
	want := strings.Join(texts, "")
	if err := iotest.TestReader(io.NewSectionReader(parts, 0, int64(len(want))), []byte(want)); err != nil {
		t.Error(err)
	}
	if _, err := parts.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("no error before the beginning")
	}
}
