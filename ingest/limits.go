package ingest

import "time"

// Every limit on outside bytes stands here with its reason. Exceeding one is a
// status with a reason on the document, never a silent truncation.
const (
	// MaxFileBytes bounds one file. The largest gazettes and scanned reports of
	// our corpora are under 100 MB; twice that leaves room.
	MaxFileBytes = 200 << 20

	// MaxInFlightBytes bounds the files that are held in memory at a time, over
	// all registrations: two of the largest, or hundreds of usual ones.
	MaxInFlightBytes = 2 * MaxFileBytes

	// MaxKeptBytes bounds the files that are held in memory until their pages are drawn.
	MaxKeptBytes = 256 << 20

	// drawAgainAfter is how long a source that did not give a file to be drawn is left
	// alone.
	drawAgainAfter = time.Minute

	// MaxDrawings bounds what is kept of the looks of one file: its pages, and some
	// pictures on them.
	MaxDrawings = 2 * MaxPages

	// maxOutage is how long a source that answered before is waited for. A store
	// that is restarted comes back in seconds; a longer outage ends the job, which is
	// started again when somebody has seen to it.
	maxOutage = 2 * time.Minute

	// maxOutageAtStart is how long a new job waits for the first answer: who begins with a
	// source that is not there has configured it wrong.
	maxOutageAtStart = 3 * time.Second

	// maxFetches is how many objects of one job are on their way at a time. Fetching
	// waits for the network most of the time; the bytes are bounded elsewhere.
	maxFetches = 16

	// maxJobs bounds the jobs that a start goes on with; there are no more than
	// sources and prefixes that somebody asked for at a time.
	maxJobs = 1000

	// maxAhead is how many objects a job may be ahead of its checkpoint, and so the
	// most that a resumed job looks at again.
	maxAhead = 1000

	// maxListedAhead is how many objects are listed before it is their turn: two pages of
	// a listing.
	maxListedAhead = 2000

	// MaxTextBytes bounds the text that a reader may return for one file. It is
	// ten times the longest act of the Pakistan Code; what exceeds it is a bomb.
	MaxTextBytes = 32 << 20

	// MaxPages bounds the pages of one file. A page count stands in the file and
	// costs nothing to claim.
	MaxPages = 5000

	// MaxNesting bounds files in files: an attachment of a mail in an archive is two,
	// and who forwards forwards makes three.
	MaxNesting = 3

	// MaxEntries bounds the entries of one archive. An office file has hundreds, an
	// archive of a year's papers thousands.
	MaxEntries = 10_000

	// MaxInflatedBytes bounds what comes out of the compression of one file, all
	// files inside it together.
	MaxInflatedBytes = 512 << 20

	// MaxInsideBytes bounds a file inside a file, which is held in memory while it is
	// read, as are those that it lies in.
	MaxInsideBytes = 64 << 20

	// MaxBoundaries bounds the parts of a mail that have parts. A mail that forwards ten
	// others has about thirty.
	MaxBoundaries = 200

	// MaxXMLDepth bounds elements in elements and groups in groups. Tables in tables in
	// text boxes are some dozens.
	MaxXMLDepth = 256

	// MaxTokenBytes bounds one piece of markup: a text, or a tag with its attributes. A
	// paragraph has some thousands.
	MaxTokenBytes = 8 << 20

	// MaxSharedStrings bounds the texts that the cells of a spreadsheet share: four
	// columns of a million rows with nothing said twice.
	MaxSharedStrings = 4_000_000

	// MaxCellStyles bounds the styles of cells, of which Excel has at most 65,490, and
	// MaxFormats the formats of numbers of a file's own, of which it has at most 250 of
	// 255 characters. MaxFormatBytes bounds one, and the number that it shows.
	MaxCellStyles  = 65_490
	MaxFormats     = 1000
	MaxFormatBytes = 1024

	// MaxStyles bounds the lists of a text and the styles that number them. Office
	// programs make hundreds.
	MaxStyles = 20_000

	// MaxDirectoryBytes bounds what is read to know the entries of an archive: more than
	// MaxEntries need, whose names take some dozens of bytes each.
	MaxDirectoryBytes = 8 << 20

	// MinPictureBytes is what a picture in an office file or mail takes that may show
	// text. Logos and bullets take less.
	MinPictureBytes = 10 << 10

	// MaxRatio bounds what an entry of an archive may unpack to, in multiples of its
	// packed size, from MinRatioBytes on. Markup packs to a tenth, an empty table to
	// a hundredth; zeros to a thousandth, which is what bombs are made of.
	MaxRatio      = 200
	MinRatioBytes = 1 << 20

	// ReaderMemory bounds what a reader process may write to, beyond what it starts
	// with: EngineMemory, and about as much again for its own heap. Hostile files that
	// go past this do not end at all.
	ReaderMemory = 480 << 20

	// ReaderCPU bounds the processor time that a reader spends on one file. A
	// born-digital page takes about 6 ms, so it is enough for MaxPages.
	ReaderCPU = 30 * time.Second

	// ReaderTime bounds the wall-clock time of one file, for readers that wait
	// instead of working.
	ReaderTime = 60 * time.Second

	// ReaderFiles is how many files one reader process reads before it is
	// replaced, so that what one file leaves behind reaches few others.
	ReaderFiles = 200

	// EngineMemory bounds the memory of the WebAssembly machine in which PDFium runs,
	// inside the reader process. A page of 300 dpi takes 9 MB of it, its pictures about
	// as much again for each.
	EngineMemory = 256 << 20

	// MaxAnnotations is how many annotations of a page are read. A form has some dozens
	// of fields on a page.
	MaxAnnotations = 1000

	// MaxPageObjects is how many objects of a page of a PDF are looked at to see what
	// the page is made of. A page of text has some hundreds.
	MaxPageObjects = 2000

	// MaxRules is how many drawings a page may have that is no picture: rules,
	// frames and the bars of a letterhead. Text that was turned into outlines has
	// hundreds.
	MaxRules = 60

	// MinLayer is how many characters of text a page with pictures or drawings needs to
	// be one of text. A scanning program leaves its name on every page.
	MinLayer = 25

	// MinScanLayer is the same for a page that a picture fills: a header or a stamp
	// with a number was put over the scan.
	MinScanLayer = 200

	// RenderCPU bounds the processor time in which one page is drawn, which takes a tenth
	// of a second, and OCRCPU that in which it is recognized, which takes one or two.
	// RenderTime and OCRTime bound the wall-clock time, which is longer on a machine that
	// has more to do: what a page gives does not depend on that. Both together are what a
	// page may add to ReaderTime.
	RenderCPU  = 5 * time.Second
	RenderTime = 15 * time.Second
	OCRCPU     = 10 * time.Second
	OCRTime    = 40 * time.Second

	// MaxDrawFailures is how many pages of a file may end the process that draws them
	// before the rest is left alone.
	MaxDrawFailures = 8

	// OCRResolution is at how many dots an inch pages are drawn to be recognized. At 300
	// no more is recognized of ordinary print, and it takes a third longer.
	OCRResolution = 200

	// DrawResolution is at how many dots an inch pages are drawn to be known by their look:
	// lines of small print are some pixels high then.
	DrawResolution = 150

	// MaxLookPixels bounds the picture of a page, or one that may show a page: A3 at
	// DrawResolution. Larger ones are reduced.
	MaxLookPixels = 4_400_000

	// MaxLooks is how many pictures of one file are looked up: a post has one, a fax some.
	MaxLooks = 10

	// MaxRegions is how many pictures of a page are known by their look, MinRegion what
	// share of the page they cover at least, and MinPictureSide how many points wide and
	// high they are: an emblem in a letterhead is less.
	MaxRegions     = 32
	MinRegion      = 0.04
	MinPictureSide = 100

	// MinInk is how many letters a picture has to show to be recognized: fewer are the
	// dust of a blank page.
	MinInk = 12

	// ConvertTime bounds the conversion of a file by LibreOffice, which takes two
	// seconds, and ConvertMemory what it may write to.
	ConvertTime   = 40 * time.Second
	ConvertMemory = 1 << 30

	// MaxDrawnBytes bounds a picture on a page of a PDF, for which EngineMemory has room
	// beside the page: A4 in color at 800 dots an inch.
	MaxDrawnBytes = 192 << 20

	// MaxPictureBytes bounds what a picture takes when it is decoded: 50 megapixels of a
	// photograph.
	MaxPictureBytes = 300 << 20

	// MaxPostedPixels bounds a picture that is looked up, which somebody waits for. Cameras
	// of phones make 12 to 50 megapixels, and what is posted is a few.
	MaxPostedPixels = 64_000_000

	// OCRMemory bounds the address space of a recognition, and MaxOCRBytes what it
	// answers: a dense page takes 100 MB and answers with 100 kB.
	OCRMemory   = 1 << 30
	MaxOCRBytes = 4 << 20

	// MaxOCRLines bounds the lines of a page, which are compared with each other. A page
	// of a newspaper has some hundreds.
	MaxOCRLines = 5000

	// MaxOCRPixels bounds a picture that is recognized: A3 at 300 dots an inch.
	MaxOCRPixels = 18 << 20

	// MaxOCRSide bounds its width and height: Tesseract refuses more than 32,767.
	MaxOCRSide = 32_000

	// ReaderStack bounds the stack of a reader: a cyclic file must hit it long
	// before the address space is gone.
	ReaderStack = 64 << 20

	// SniffBytes is how much of a file is looked at to find its type. Office
	// files name theirs within the first entries of the archive.
	SniffBytes = 16 << 10

	// MaxMarkupBytes bounds a text or HTML file. UTF-16 takes twice the bytes of
	// its text, and markup about as many again as the text.
	MaxMarkupBytes = 64 << 20

	// MaxLabelBytes bounds each media type, reader name and reason.
	MaxLabelBytes = 512

	// MaxTreeDepth bounds the page tree of a PDF, which is balanced as tools
	// make it and may be cyclic as attackers do.
	MaxTreeDepth = 64

	// MaxContentBytes bounds the drawing instructions of one page, or of one form
	// on it. Maps and plans take some megabytes.
	MaxContentBytes = 32 << 20

	// MaxFormDepth bounds the forms within forms of a PDF. Stamps on stamps are
	// two or three.
	MaxFormDepth = 8

	// MaxPageReads bounds the bytes that the PDF reader asks of the file for one
	// page, or for opening it. Fonts and object streams are read again for every
	// page, yet no page of our corpora takes a megabyte; a loop takes all that it
	// gets, this much in a quarter of a second.
	MaxPageReads = 32 << 20

	// MaxDescriptors of a child: standard streams, the socket, one file, and
	// what the runtime needs to wait.
	MaxDescriptors = 16

	// StartTime bounds the start of a child, and EndTime its end after its
	// answer broke off: both are milliseconds on an idle machine.
	StartTime = 20 * time.Second
	EndTime   = 2 * time.Second

	// MaxStderrBytes is how much of a child's last words is looked at to tell
	// how it ended. The runtime names the cause first.
	MaxStderrBytes = 4 << 10
)
