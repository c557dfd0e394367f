// Package pdftest makes PDF files for tests.
package pdftest

import (
	"fmt"
	"strings"
)

// Build makes a PDF of numbered objects, the first of which is the catalog. The trailer may say
// more than it has to.
func Build(trailer string, objects ...string) string {
	var b strings.Builder
	b.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	xref := fmt.Sprintf("xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for i, o := range objects {
		xref += fmt.Sprintf("%010d 00000 n \n", b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "%strailer\n<</Size %d /Root 1 0 R %s>>\nstartxref\n%d\n%%%%EOF\n", xref, len(objects)+1, trailer, start)
	return b.String()
}

// Stream is an object that holds content.
func Stream(content string) string {
	return fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(content), content)
}

// Show is the content of a page that has lines of text, without parentheses.
func Show(lines ...string) string {
	var b strings.Builder
	b.WriteString("BT /F1 12 Tf")
	if len(lines) > 1 {
		b.WriteString(" 14 TL 60 780 Td")
	}
	for i, line := range lines {
		if i > 0 {
			b.WriteString(" T*")
		}
		b.WriteString(" (" + line + ") Tj")
	}
	b.WriteString(" ET")
	return b.String()
}

// Pages makes a PDF with a page, of A4, for each content.
func Pages(trailer string, contents ...string) string {
	objects := []string{
		"<</Type /Catalog /Pages 2 0 R>>",
		"",
		"<</Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding>>",
	}
	var kids string
	for _, c := range contents {
		kids += fmt.Sprintf("%d 0 R ", len(objects)+1)
		objects = append(objects, fmt.Sprintf("<</Type /Page /Parent 2 0 R /Resources <</Font <</F1 3 0 R>>>> /Contents %d 0 R>>", len(objects)+2))
		objects = append(objects, Stream(c))
	}
	objects[1] = fmt.Sprintf("<</Type /Pages /Count %d /Kids [%s] /MediaBox [0 0 595 842]>>", len(contents), kids)
	return Build(trailer, objects...)
}
