// Package extract reads the text of files that may be made to harm the reader.
//
// A parser of PDF can be led into endless loops, gigabytes of memory, or a
// stack overflow that no recover catches. So no file is parsed in the process
// that serves: a [Pool] keeps a few child processes, each limited in memory,
// processor time, stack, descriptors and privileges and unable to write files,
// and hands them one file after another.
//
//	Pool (the server)                       Worker (the same program again)
//	   size and limits, file descriptor  →  sniff the type by content
//	                                     ←  media type
//	                                     ←  page, page, page …
//	                                     ←  end: how it ended
//
// Every page is a message of its own, so what was read before a child died is
// kept: the status is then partial, and the reason says from which page on. A
// child that dies, hangs or answers nonsense costs the file that it was
// reading, and the next file goes to a new child. After [ingest.ReaderFiles]
// files a child is replaced anyway.
//
// Neither side trusts the other's file: the child gets a read-only descriptor
// and nothing else, and the parent believes no length that the child sends. A
// crash is believed only of a child that had read nothing before: after a
// warm one died, a new one reads the file once more, so that a status never
// depends on the files that happened to come earlier.
//
// Pages that are pictures are drawn by a child and recognized by Tesseract, in a
// process of its own with the same kind of limits.
//
// To read another kind of file, write a [Reader] and add it to [Readers].
package extract

import (
	"fmt"
	"io"

	"github.com/sealprint/sealprint/ingest"
)

// Reader reads the files of some media types.
type Reader struct {
	// Name and version of the reader stand on every page that it read, so that
	// pages can be read again when the reader has become better.
	Name string
	// Types are the media types that it reads.
	Types []string
	// Read hands the pages to out, in order, and returns nil when the file ended, or
	// what out returned. A [Failure] says how else it ended; what any other error
	// says is dropped, since it may repeat content. Read runs in the limited process
	// and may panic.
	Read func(f File, out *Output) error
}

// File is a file to read.
type File struct {
	io.ReaderAt
	Size int64
}

// Readers returns all readers. The order does not matter. Cache is the folder in
// which [Pool.Warm] left compiled code; without it some of it is compiled when it is
// first needed, which takes seconds.
func Readers(cache string) []Reader {
	return []Reader{
		{Name: pdfReader, Types: []string{"application/pdf"}, Read: readPDF(&engine{cache: cache})},
		{Name: "docx 1", Types: []string{docxType}, Read: readDOCX},
		{Name: "pptx 1", Types: []string{pptxType}, Read: readPPTX},
		{Name: "xlsx 1, excelize 2.11.1", Types: []string{xlsxType}, Read: readXLSX},
		{Name: "odf 1", Types: []string{odtType, odsType, odpType}, Read: readODF},
		{Name: "epub 1", Types: []string{epubType}, Read: readEPUB},
		{Name: "rtf 1", Types: []string{"text/rtf"}, Read: readRTF},
		{Name: "mail 1, enmime 2.3.0", Types: []string{mailType}, Read: readMail},
		{Name: "msg 1", Types: []string{msgType}, Read: readMSG},
		{Name: "encrypted office 1", Types: []string{encryptedType}, Read: readEncrypted},
		{Name: "zip 1", Types: []string{zipType}, Read: readZip},
		{Name: "gzip 1", Types: []string{"application/gzip"}, Read: readGzip},
		{Name: "picture 1", Types: pictureTypes, Read: readPicture},
		{Name: "html 1", Types: []string{"text/html", "application/xhtml+xml"}, Read: readHTML},
		{Name: "text 1", Types: []string{"text/plain"}, Read: readText},
	}
}

// Failure is an end of a reading other than the end of the file. Its reason
// must not repeat content.
type Failure struct {
	Status ingest.Status
	Reason string
}

func (f *Failure) Error() string { return string(f.Status) + ": " + f.Reason }

func failf(status ingest.Status, format string, args ...any) *Failure {
	return &Failure{Status: status, Reason: fmt.Sprintf(format, args...)}
}
