package extract

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/unicode"

	"github.com/sealprint/sealprint/ingest"
)

// zipOf makes an archive of names and contents, in turn.
func zipOf(t testing.TB, entries ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		e, err := w.Create(entries[i])
		if err == nil {
			_, err = io.WriteString(e, entries[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wordFile makes a Word file of a body and further parts.
func wordFile(t testing.TB, body string, parts ...string) string {
	return zipOf(t, append([]string{"[Content_Types].xml", "<Types/>", "word/document.xml", "<w:document><w:body>" + body + "</w:body></w:document>"}, parts...)...)
}

// run is a paragraph.
func paragraph(text string) string { return "<w:p><w:r><w:t>" + text + "</w:t></w:r></w:p>" }

const threeLevels = `<w:numbering>
<w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerRoman"/><w:pStyle w:val="Sub"/><w:lvlText w:val="%1.%2)"/></w:lvl></w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>
<w:num w:numId="2"><w:abstractNumId w:val="7"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride></w:num></w:numbering>`

func item(use, level, text string) string {
	return `<w:p><w:pPr><w:numPr><w:ilvl w:val="` + level + `"/><w:numId w:val="` + use + `"/></w:numPr></w:pPr><w:r><w:t>` + text + "</w:t></w:r></w:p>"
}

// workbookOf makes a spreadsheet of its sheets' markup and further parts.
func workbookOf(t testing.TB, sheets []string, parts ...string) string {
	const relations = `<Relationships>%s</Relationships>`
	var list, links strings.Builder
	for i, s := range sheets {
		fmt.Fprintf(&list, `<sheet name="Layoffs%d" sheetId="%d" r:id="r%d"/>`, i, i+1, i)
		fmt.Fprintf(&links, `<Relationship Id="r%d" Type="t/worksheet" Target="worksheets/s%d.xml"/>`, i, i)
		parts = append(parts, fmt.Sprintf("xl/worksheets/s%d.xml", i), "<worksheet>"+s+"</worksheet>")
	}
	return zipOf(t, append([]string{"[Content_Types].xml", "<Types/>", "xl/workbook.xml", `<workbook><workbookPr date1904="1"/><sheets>` + list.String() + "</sheets></workbook>",
		"xl/_rels/workbook.xml.rels", fmt.Sprintf(relations, links.String())}, parts...)...)
}

const cellStyles = `<styleSheet><numFmts><numFmt numFmtId="164" formatCode="0.00&quot; EUR&quot;"/></numFmts><cellStyleXfs><xf numFmtId="9"/></cellStyleXfs>
<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="10"/><xf numFmtId="14"/><xf numFmtId="99999"/></cellXfs></styleSheet>`

// inUTF16 writes markup as few programs do.
func inUTF16(t testing.TB, s string) string {
	t.Helper()
	s, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// alternatives is text for newer and older programs, in elements in turn.
func alternatives(branches ...string) string {
	all := "<mc:AlternateContent>"
	for i := 0; i < len(branches); i += 2 {
		all += "<mc:" + branches[i] + ">" + branches[i+1] + "</mc:" + branches[i] + ">"
	}
	return all + "</mc:AlternateContent>"
}

// partsAndTexts joins what each page is and says.
func partsAndTexts(r *ingest.Reading) string {
	var all []string
	for _, page := range r.Pages {
		all = append(all, page.Part, strings.Join(strings.Fields(page.Text), " "))
	}
	return strings.Join(all, "|")
}

// TestOffice: what is written, deleted, remarked, embedded and numbered is read,
// once, and every page knows which part it is of.
func TestOffice(t *testing.T) {
	p := testPool(t, 1)
	book := excelize.NewFile()
	defer book.Close()
	date, err := book.NewStyle(&excelize.Style{NumFmt: 14})
	if err != nil {
		t.Fatal(err)
	}
	for cell, value := range map[string]any{"A1": "Grant", "B1": 1234.5, "C3": 45291} {
		if err := book.SetCellValue("Sheet1", cell, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := book.SetCellStyle("Sheet1", "C3", "C3", date); err != nil {
		t.Fatal(err)
	}
	if _, err := book.NewSheet("Layoffs"); err != nil {
		t.Fatal(err)
	}
	if err := book.SetCellValue("Layoffs", "A1", "Second"); err != nil {
		t.Fatal(err)
	}
	if err := book.AddComment("Layoffs", excelize.Comment{Cell: "A1", Author: "x", Paragraph: []excelize.RichTextRun{{Text: "remark"}}}); err != nil {
		t.Fatal(err)
	}
	var sheets bytes.Buffer
	if err := book.Write(&sheets); err != nil {
		t.Fatal(err)
	}

	const odf = "<office:document-content><office:body>%s</office:body></office:document-content>"
	for _, test := range []struct{ name, content, want string }{
		{"body", wordFile(t, paragraph("Finance")+paragraph("Division")), "|Finance Division"},
		{"table, tab, break", wordFile(t, "<w:tbl><w:tr><w:tc>"+paragraph("a")+"</w:tc><w:tc>"+paragraph("b")+"</w:tc></w:tr></w:tbl><w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>c</w:t><w:tab/><w:t>d</w:t><w:br/><w:t>e</w:t></w:r></w:p>"), "|a b c d e"},
		{"tracked changes", wordFile(t, "<w:p><w:ins><w:r><w:t>new </w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"), "|new old"},
		{"field", wordFile(t, "<w:p><w:r><w:instrText>PAGE</w:instrText></w:r><w:r><w:t>7</w:t></w:r></w:p>"), "|7"},
		{"text box in two versions", wordFile(t, "<w:p><mc:AlternateContent><mc:Choice><w:txbxContent>"+paragraph("box")+"</w:txbxContent></mc:Choice><mc:Fallback>"+paragraph("box")+"</mc:Fallback></mc:AlternateContent></w:p>"), "|box"},
		{"alternative without text", wordFile(t, paragraph("a")+alternatives("Choice", "<w:pict/>", "Fallback", paragraph("box"))), "|a box"},
		{"two choices", wordFile(t, alternatives("Choice", paragraph("new"), "Choice", paragraph("newer"), "Fallback", paragraph("old"))), "|new"},
		{"alternatives in alternatives", wordFile(t, alternatives("Choice", paragraph("box")+alternatives("Choice", "<w:pict/>"), "Fallback", paragraph("box"))), "|box"},
		{"UTF-16", wordFile(t, paragraph("body"), "word/footnotes.xml", inUTF16(t, `<?xml version="1.0" encoding="UTF-16"?>`+paragraph("note"))), "|body|footnotes|note"},
		{"names as Windows has them", zipOf(t, "[Content_Types].xml", "<Types/>", `Word\Document.xml`, paragraph("body")), "|body"},
		{"header by another name", wordFile(t, paragraph("body"), "word/_rels/document.xml.rels", `<Relationships><Relationship Id="h" Type="t/header" Target="top.xml"/></Relationships>`, "word/top.xml", paragraph("head")), "|body|header|head"},
		{"page breaks", wordFile(t, paragraph("one")+`<w:p><w:r><w:br w:type="page"/></w:r></w:p>`+paragraph("two")+"<w:p><w:r><w:lastRenderedPageBreak/><w:t>three</w:t></w:r></w:p>"), "|one||two||three"},
		{"around the body", wordFile(t, paragraph("body"), "word/header1.xml", paragraph("head"), "word/footer1.xml", paragraph("foot"), "word/footnotes.xml", paragraph("note"), "word/comments.xml", paragraph("remark")),
			"|body|header|head|footer|foot|footnotes|note|comments|remark"},
		{"numbers", wordFile(t, item("1", "0", "a")+item("1", "1", "b")+item("1", "1", "c")+item("1", "0", "d")+`<w:p><w:pPr><w:pStyle w:val="Sub"/></w:pPr><w:r><w:t>e</w:t></w:r></w:p>`+item("2", "0", "f")+item("0", "0", "g"),
			"word/numbering.xml", threeLevels, "word/styles.xml", `<w:styles><w:style w:styleId="Sub"><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style></w:styles>`),
			"|1. a 1.i) b 1.ii) c 2. d 2.i) e 1. f g"},
		{"embedded", wordFile(t, paragraph("body"), "word/embeddings/oleObject1.docx", wordFile(t, paragraph("inner"))), "|body|attachment 1|inner"},
		{"included", wordFile(t, paragraph("body")+`<w:altChunk r:id="c1"/>`, "word/_rels/document.xml.rels", `<Relationships><Relationship Id="c1" Type="x/aFChunk" Target="chunk.html"/></Relationships>`, "word/chunk.html", "<html><p>chunk"), "|body|included file|chunk"},
		{"main part by another name", zipOf(t, "[Content_Types].xml", "<Types/>", "_rels/.rels", `<Relationships><Relationship Id="r" Type="http://x/officeDocument" Target="/word/main.xml"/></Relationships>`, "word/main.xml", paragraph("body")), "|body"},
		{"damaged notes", wordFile(t, paragraph("body"), "word/footnotes.xml", "<a><b"), "|body|footnotes|"},
		{"slides", zipOf(t, "[Content_Types].xml", "<Types/>", "ppt/presentation.xml", `<p:presentation><p:sldIdLst><p:sldId id="1" r:id="b"/><p:sldId id="2" r:id="a"/></p:sldIdLst></p:presentation>`,
			"ppt/_rels/presentation.xml.rels", `<Relationships><Relationship Id="a" Type="t/slide" Target="slides/slide1.xml"/><Relationship Id="b" Type="t/slide" Target="slides/slide2.xml"/></Relationships>`,
			"ppt/slides/slide1.xml", "<p:sld><a:p><a:r><a:t>first file</a:t></a:r></a:p></p:sld>", "ppt/slides/slide2.xml", "<p:sld><a:p><a:t>second file</a:t></a:p></p:sld>",
			"ppt/slides/_rels/slide2.xml.rels", `<Relationships><Relationship Id="n" Type="t/notesSlide" Target="../notesSlides/n1.xml"/></Relationships>`, "ppt/notesSlides/n1.xml", "<p:notes><a:p><a:t>say</a:t></a:p></p:notes>"),
			"slide 1|second file|slide 1, notes|say|slide 2|first file"},
		{"slide without a list", zipOf(t, "[Content_Types].xml", "<Types/>", "ppt/presentation.xml", "<p:pres", "ppt/slides/slide1.xml", "<a:p><a:t>a</a:t></a:p>", "ppt/slides/_rels/slide1.xml.rels",
			`<Relationships><Relationship Id="c" Type="t/comments" Target="../comments/c1.xml"/></Relationships>`, "ppt/comments/c1.xml", "<p:cmLst><p:cm><p:text>remark</p:text></p:cm></p:cmLst>"), "slide 1|a|slide 1, comments|remark"},
		{"cells", workbookOf(t, []string{`<sheetData><row r="1"><c r="A1" t="s"><v>1</v></c><c r="XFD1" t="s"><v>0</v></c><c t="s"><v>7</v></c></row><row r="1048576"><c t="b"><v>1</v></c><c t="e"><v>#N/A</v></c><c t="str"><f>A1</f><v>made</v></c><c t="inlineStr"><is><t>in</t><rPh><t>no</t></rPh></is></c></row></sheetData>`},
			"xl/sharedStrings.xml", "<sst><si><t>one</t></si><si><r><t>t</t></r><r><t>wo</t></r><rPh><t>no</t></rPh></si></sst>"), "sheet 1|two one TRUE #N/A made in"},
		{"formats", workbookOf(t, []string{`<sheetData><row><c s="1"><v>2.5</v></c><c s="2"><v>0.25</v></c><c s="3"><v>40000</v></c><c s="0"><v>1E3</v></c><c s="4"><v>7</v></c><c s="5"><v>8</v></c><c s="1"><v>3</v></c><c s="1"><v>x</v></c></row></sheetData>`}, "xl/styles.xml", cellStyles),
			"sheet 1|2.50 EUR 25.00% 07-07-13 1000 7 8 3.00 EUR x"},
		{"around sheets", workbookOf(t, []string{"<sheetData/>", `<sheetData><row><c><v>1</v></c></row></sheetData><headerFooter><oddHeader>&amp;L&amp;"Arial,Bold"&amp;12head</oddHeader></headerFooter>`},
			"xl/worksheets/_rels/s1.xml.rels", `<Relationships><Relationship Id="a" Type="t/comments" Target="../comments1.xml"/><Relationship Id="b" Type="t/threadedComment" Target="../threadedComments/t1.xml"/><Relationship Id="c" Type="t/drawing" Target="/xl/drawings/drawing1.xml"/></Relationships>`,
			"xl/comments1.xml", "<comments><comment><text><r><t>remark</t></r></text></comment></comments>", "xl/threadedComments/t1.xml", "<ThreadedComments><threadedComment><text>answer</text></threadedComment></ThreadedComments>",
			"xl/drawings/drawing1.xml", paragraph("box"), "xl/drawings/drawing2.xml", paragraph("lost")), "sheet 2|1 head|sheet 2, comments|remark|sheet 2, comments|answer|sheet 2, drawing|box|drawing|lost"},
		{"sheet cut off", zipOf(t, "xl/workbook.xml", "", "xl/worksheets/sheet1.xml", "<sheetData><row><c><v>1</v></c></row><row"), "sheet 1|1|sheet 1|"},
		{"sheets", sheets.String(), "sheet 1|Grant 1234.5 12-31-23|sheet 2|Second|sheet 2, comments|remark"},
		{"OpenDocument", zipOf(t, "mimetype", odtType, "content.xml", fmt.Sprintf(odf, "<office:text><text:p>a<text:tab/>b<text:s text:c=\"3\"/>c</text:p><text:p>d<office:annotation><dc:creator>Somebody</dc:creator><text:p>remark</text:p></office:annotation></text:p></office:text>"),
			"styles.xml", "<style:header><text:p>head</text:p></style:header>"), "|a b c dremark|header and footer|head"},
		{"OpenDocument list", zipOf(t, "mimetype", odtType, "content.xml", `<x><text:list-style style:name="L"><text:list-level-style-number text:level="1" style:num-format="a" style:num-suffix=")"/></text:list-style>`+fmt.Sprintf(odf, `<office:text><text:list text:style-name="L"><text:list-item><text:p>x</text:p></text:list-item><text:list-item><text:p>y</text:p></text:list-item></text:list></office:text>`)+"</x>"), "|a) x b) y"},
		{"OpenDocument formula", zipOf(t, "mimetype", odtType, "content.xml", fmt.Sprintf(odf, "<text:p>a</text:p>"), "Object 1/content.xml", "<math><mi>x</mi><mo>=</mo><mn>2</mn><annotation>x = 2</annotation></math>"), "|a|object|x=2"},
		{"OpenDocument sheets", zipOf(t, "mimetype", odsType, "content.xml", fmt.Sprintf(odf, `<office:spreadsheet><table:table><table:table-row><table:table-cell table:number-columns-repeated="16384"><text:p>1,200</text:p></table:table-cell></table:table-row></table:table><table:table><table:table-row><table:table-cell><text:p>b</text:p></table:table-cell></table:table-row></table:table></office:spreadsheet>`)), "sheet 1|1,200|sheet 2|b"},
		{"OpenDocument slides", zipOf(t, "mimetype", odpType, "content.xml", fmt.Sprintf(odf, `<office:presentation><draw:page><text:p>a</text:p><presentation:notes><text:p>say</text:p></presentation:notes></draw:page></office:presentation>`)), "slide 1|a|slide 1, notes|say"},
		{"archive", zipOf(t, "a/", "", "a/b.txt", "Finance Division", "__MACOSX/x", "junk", "c.zip", zipOf(t, "d.html", "<html><p>inner")), "file 1|Finance Division|file 2, file 1|inner"},
		{"archive with a program", zipOf(t, "a.txt", "Finance", "b.exe", "MZ\x00\x01\x02"), "file 1|Finance|file 2|"},
		{"rich text", `{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}{\f1\fcharset178 Traditional Arabic;}}{\info{\author Somebody}}{\*\generator x}\f0 Na\'efve\par {\f1 \'c7\'e1\'e3\'c7\'e1\'ed\'c9} \u8220?q\u8221?{\pict 0102}{\footnote note}\page two}`, "|Naïve المالية “q”note||two"},
		{"rich text of a Macintosh", `{\rtf1\mac Na\'95ve}`, "|Naïve"},
		{"surrogates", `{\rtf1\uc0\u-10179 \u-8704 }`, "|😀"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := extract(t, p, test.content)
			if s := partsAndTexts(r); s != test.want {
				t.Errorf("%s (%s) gave\n%q, want\n%q", r.MediaType, r.Reason, s, test.want)
			}
			if strings.Contains(fmt.Sprint(r), "Layoffs") || strings.Contains(fmt.Sprint(r), "Somebody") {
				t.Error("a name out of the file is told")
			}
		})
	}
}

// TestOfficeStatuses: what cannot be read says why.
func TestOfficeStatuses(t *testing.T) {
	p := testPool(t, 1)
	for _, test := range []struct {
		name, content string
		status        ingest.Status
		reason        string
	}{
		{"empty archive", zipOf(t), "no_text", "the archive is empty"},
		{"no body", zipOf(t, "[Content_Types].xml", "", "word/x.xml", ""), "damaged", "the document's text is missing"},
		{"encrypted OpenDocument", zipOf(t, "mimetype", odtType, "META-INF/manifest.xml", "<m><encryption-data/></m>", "content.xml", "x"), "encrypted", "needs a password"},
		{"binary workbook", zipOf(t, "xl/workbook.bin", "x"), "unsupported", "no reader for " + xlsbType},
		{"a program", zipOf(t, "b.exe", "MZ\x00\x01\x02"), "unsupported", "page 1: unsupported: no reader for application/vnd.microsoft.portable-executable"},
		{"a bomb among others", zipOf(t, "a.txt", "Finance", "zeros", strings.Repeat("\x00", 2<<20), "c.txt", "Division"), "partial", "page 2: limit: unpacks to over 200 times its size"},
		{"cut off", zipOf(t, "a.txt", "Finance")[:60], "damaged", "not readable as application/zip"},
	} {
		if r := extract(t, p, test.content); r.Status != test.status || r.Reason != test.reason {
			t.Errorf("%s: %s, %q; want %s, %q", test.name, r.Status, r.Reason, test.status, test.reason)
		}
	}
}

// TestBombs: what unpacks to more than anybody wrote ends in a limit, soon.
func TestBombs(t *testing.T) {
	p := testPool(t, 1)
	nested := "Finance"
	for range ingest.MaxNesting + 2 {
		nested = zipOf(t, "x.zip", nested)
	}
	zeros := strings.Repeat("\x00", 64<<20)
	spaces := strings.Repeat(" ", 64<<20)
	deep := strings.Repeat("<a>", 1_000_000)
	laughs := `<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><w:document><w:t>&c;</w:t></w:document>`
	// What it takes 200 times as much as of anything is small.
	filler := "<!--" + rand.Text()
	for len(filler) < 256<<10 {
		filler += strings.ToLower(rand.Text()) + rand.Text()
	}
	filler += "-->"
	var many []string
	for i := range ingest.MaxEntries + 1 {
		many = append(many, fmt.Sprint(i), "")
	}
	for _, test := range []struct {
		name, content string
		status        ingest.Status
	}{
		{"nested archives", nested, "limit"},
		{"zeros", zipOf(t, "zeros", zeros), "limit"},
		{"one text in a Word file", wordFile(t, "<w:t>"+spaces+"</w:t>"), "limit"},
		{"spaces in a sheet", zipOf(t, "xl/workbook.xml", "<workbook>"+spaces+"</workbook>"), "limit"},
		{"deep markup", wordFile(t, deep), "limit"},
		{"entities", zipOf(t, "word/document.xml", laughs), "limit"},
		{"an entry of 16 GB", claiming(t, workbookOf(t, []string{"<row/>"}), "xl/worksheets/s0.xml", 16<<30), "limit"},
		{"many entries", zipOf(t, many...), "limit"},
		{"deep groups", "{\\rtf1 " + strings.Repeat("{", 100_000), "limit"},
		{"shared strings", workbookOf(t, nil, "xl/sharedStrings.xml", filler+strings.Repeat("<si/>", ingest.MaxSharedStrings+1)), "limit"},
		{"formats", workbookOf(t, nil, "xl/styles.xml", filler+strings.Repeat("<cellXfs><xf/></cellXfs>", ingest.MaxCellStyles+2)), "limit"},
		{"cells far apart", workbookOf(t, []string{`<dimension ref="A1:XFD1048576"/>` + filler + strings.Repeat(`<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>`, 100_000)}), "ok"},
		{"lists", wordFile(t, "", "word/numbering.xml", filler+numberOf(ingest.MaxStyles+2, `<num numId="%d"/>`)), "limit"},
		{"styles", wordFile(t, "", "word/styles.xml", filler+numberOf(ingest.MaxStyles+2, `<style styleId="%d"/><basedOn val="x"/>`)), "limit"},
		{"relations", wordFile(t, "", "_rels/.rels", filler+strings.Repeat("<Relationship/>", ingest.MaxEntries+1)), "limit"},
		{"huge picture", pngClaiming(65535, 65535), "limit"},
		{"parts of a mail", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("--x\n\na\n", ingest.MaxEntries+10) + "--x--\n", "limit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := extract(t, p, test.content)
			if r.Status != test.status {
				t.Errorf("%s: %s", r.Status, r.Reason)
			}
		})
	}
}

// claiming makes the directory of an archive say that one of its entries is so large.
func claiming(t testing.TB, archive, name string, size uint64) string {
	t.Helper()
	r, err := zip.NewReader(strings.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range r.File {
		if e.Name == name {
			e.UncompressedSize64 = size
		}
		if err := w.Copy(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// numberOf writes markup with the numbers up to n.
func numberOf(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestDirectory: an archive that is a directory and nothing else is not held in memory.
func TestDirectory(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for range 400_000 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := fileOf(b.Bytes())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := directory(f)
	runtime.ReadMemStats(&after)
	var end *Failure
	if !errors.As(err, &end) || end.Status != ingest.StatusLimit {
		t.Errorf("%v is no limit", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
		t.Errorf("took %d MB", took>>20)
	}
}

// pngClaiming makes the beginning of a picture of a size.
func pngClaiming(w, h int) string {
	head := fmt.Sprintf("IHDR%c%c%c%c%c%c%c%c\x08\x02\x00\x00\x00", byte(w>>24), byte(w>>16), byte(w>>8), byte(w), byte(h>>24), byte(h>>16), byte(h>>8), byte(h))
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d")
	for _, r := range head {
		b = append(b, byte(r))
	}
	sum := crc32.ChecksumIEEE(b[12:])
	return string(append(b, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)))
}

// collected runs a reader here, without a process.
func collected(read func(File, *Output) error, b []byte) (texts []string, err error) {
	out := &Output{readers: Readers(""), send: func(p ingest.Page) error {
		texts = append(texts, p.Text)
		return nil
	}}
	err = read(fileOf(b), out)
	return texts, err
}

func fuzzReader(f *testing.F, read func(File, *Output) error, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		texts, _ := collected(read, b)
		for _, s := range texts {
			if !utf8.ValidString(s) {
				t.Errorf("%q is no text", s)
			}
		}
	})
}

func FuzzDOCX(f *testing.F) {
	fuzzReader(f, readDOCX, wordFile(f, item("1", "0", "a")+paragraph("b"), "word/numbering.xml", threeLevels))
}

// FuzzProse reads markup that is not wrapped in an archive, which few changes get into.
func FuzzProse(f *testing.F) {
	for _, s := range []string{item("1", "0", "a") + paragraph("b"), threeLevels, "<w:p><w:sym w:char='F0'/><mc:Fallback><w:t>x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := collected(readDOCX, []byte(wordFile(t, s, "word/numbering.xml", s, "word/styles.xml", s))); err != nil && !strings.Contains(err.Error(), ": ") {
			t.Error(err)
		}
	})
}

// FuzzXLSX reads markup of the parts that make a sheet.
func FuzzXLSX(f *testing.F) {
	f.Add(`<row><c s="1"><v>2.5</v></c><c t="s"><v>0</v></c></row>`, "<si><t>x</t></si>", cellStyles)
	f.Fuzz(func(t *testing.T, sheet, texts, styles string) {
		_, _ = collected(readXLSX, []byte(workbookOf(t, []string{sheet}, "xl/sharedStrings.xml", texts, "xl/styles.xml", styles)))
	})
}

func FuzzODF(f *testing.F) {
	f.Add("<office:text><text:list><text:list-item><text:p>x</text:p></text:list-item></text:list></office:text>")
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = collected(readODF, []byte(zipOf(t, "mimetype", odtType, "content.xml", s, "styles.xml", s)))
	})
}

func FuzzRTF(f *testing.F) {
	fuzzReader(f, readRTF, `{\rtf1\ansi\ansicpg1252{\fonttbl{\f1\fcharset178 x;}}\u8220?{\*\x y}\'e4\bin3 abc}`)
}

func FuzzZip(f *testing.F) {
	fuzzReader(f, readZip, zipOf(f, "a.txt", "Finance", "b.zip", zipOf(f, "c.rtf", "{\\rtf1 x}")))
}
