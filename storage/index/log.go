package index

import (
	"bytes"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/sealprint/sealprint/fingerprint"
	"github.com/sealprint/sealprint/storage"
)

const (
	// frameMagic begins every frame, so that frames behind a damaged one can be
	// found again. It is one byte of no ASCII text and three that are.
	frameMagic = "\xf5SPF"
	// frameHeader is magic, length and checksum.
	frameHeader = 4 + 4 + 8
	// maxRecord bounds one Append or Delete: the log reads it back in one piece.
	maxRecord = 1 << 30
	// maxFrame bounds the records that share one frame: a length has 32 bits.
	maxFrame = 2*maxRecord + 1<<20

	kindAppend = 1
	kindDelete = 2
)

// record is one Append or Delete as the log keeps it.
type record struct {
	sheets  []storage.Sheet
	deleted []storage.Ordinal
}

// recordSize is the size of the encoded record.
func recordSize(r record) int {
	size := 1 + 4 + 4*len(r.deleted)
	for _, s := range r.sheets {
		size += 12 + hashSize*len(s.Hashes)
	}
	return size
}

func encodeRecord(r record) []byte {
	b := make([]byte, 0, recordSize(r)+2)
	if r.sheets == nil {
		b = append(b, kindDelete)
		b = le.AppendUint32(b, uint32(len(r.deleted)))
		for _, o := range r.deleted {
			b = le.AppendUint32(b, uint32(o))
		}
		return b
	}
	b = append(b, kindAppend)
	b = le.AppendUint32(b, uint32(len(r.sheets)))
	for _, s := range r.sheets {
		b = le.AppendUint32(b, uint32(s.Ordinal))
		b = le.AppendUint32(b, uint32(s.Window))
		b = le.AppendUint32(b, uint32(len(s.Hashes)))
		for _, h := range s.Hashes {
			b = le.AppendUint64(b, uint64(h))[:len(b)+hashSize]
		}
	}
	return b
}

// decodeRecord takes a record from the front of d. It promises what Append
// checks: ordinals ascend, windows are valid.
func decodeRecord(d *decoder) (r record, ok bool) {
	switch d.byte() {
	case kindDelete:
		r.deleted = make([]storage.Ordinal, d.count(4))
		for i := range r.deleted {
			r.deleted[i] = storage.Ordinal(d.uint32())
		}
	case kindAppend:
		r.sheets = make([]storage.Sheet, d.count(12))
		for i := range r.sheets {
			s := &r.sheets[i]
			s.Ordinal = storage.Ordinal(d.uint32())
			s.Window = fingerprint.Window(d.uint32())
			s.Hashes = make([]fingerprint.Hash, d.count(hashSize))
			raw := d.take(hashSize * len(s.Hashes))
			for j := range s.Hashes {
				b := raw[j*hashSize:]
				s.Hashes[j] = fingerprint.Hash(uint64(le.Uint32(b)) | uint64(le.Uint16(b[4:]))<<32)
			}
			if s.Window.Validate() != nil || i > 0 && s.Ordinal <= r.sheets[i-1].Ordinal {
				return r, false
			}
		}
	default:
		return r, false
	}
	return r, !d.short && len(r.sheets)+len(r.deleted) > 0
}

// appendFrame puts records into one frame: they become durable together or,
// torn by a crash, not at all.
func appendFrame(b []byte, first uint64, records [][]byte) []byte {
	start := len(b)
	b = append(b, frameMagic...)
	b = append(b, make([]byte, frameHeader-len(frameMagic))...)
	b = le.AppendUint64(b, first)
	for _, r := range records {
		b = append(b, r...)
	}
	body := b[start+frameHeader:]
	le.PutUint32(b[start+4:], uint32(len(body)))
	le.PutUint64(b[start+8:], xxhash.Sum64(body))
	return b
}

// frameAt returns the body of the whole frame that b begins with.
func frameAt(b []byte) (body []byte, ok bool) {
	if len(b) < frameHeader+8 || string(b[:4]) != frameMagic {
		return nil, false
	}
	length := uint64(le.Uint32(b[4:]))
	if length < 8 || length > uint64(len(b)-frameHeader) {
		return nil, false
	}
	body = b[frameHeader : frameHeader+length]
	return body, xxhash.Sum64(body) == le.Uint64(b[8:])
}

// readLog decodes the frames of a log, the first of which must carry the
// sequence number next, and hands over their records. It returns how many bytes
// of the log are sound. A sound part that is shorter than the log is a torn
// tail: the last frame was still being written when the process or the machine
// ended, and nobody was told that it is durable. Damage that is followed by a
// sound frame is none of that: acknowledged records are gone, which is an error
// of kind storage.ErrCorrupt.
func readLog(data []byte, next uint64, visit func(record) error) (sound int, err error) {
	if err := checkPreamble(data, logMagic); err != nil {
		if at := nextFrame(data, next); at < 0 && !isNewer(err) {
			return 0, nil
		}
		return 0, err
	}
	for sound = preambleSize; sound < len(data); {
		body, ok := frameAt(data[sound:])
		if !ok {
			if at := nextFrame(data[sound:], next); at >= 0 {
				return sound, fmt.Errorf("frame at byte %d, before a sound one at %d: %w", sound, sound+at, storage.ErrCorrupt)
			}
			return sound, nil
		}
		if first := le.Uint64(body); first != next {
			return sound, fmt.Errorf("frame at byte %d begins with change %d, expected %d: %w", sound, first, next, storage.ErrCorrupt)
		}
		for d := (decoder{b: body[8:]}); len(d.b) > 0; next++ {
			r, ok := decodeRecord(&d)
			if !ok {
				return sound, fmt.Errorf("change %d in frame at byte %d: %w", next, sound, storage.ErrCorrupt)
			}
			if err := visit(r); err != nil {
				return sound, err
			}
		}
		sound += frameHeader + len(body)
	}
	return sound, nil
}

// nextFrame finds the next sound frame of changes not before next, or -1.
func nextFrame(data []byte, next uint64) int {
	for at := 0; ; at++ {
		i := bytes.Index(data[at:], []byte(frameMagic))
		if i < 0 {
			return -1
		}
		at += i
		if body, ok := frameAt(data[at:]); ok && le.Uint64(body) >= next {
			return at
		}
	}
}

// writeLog is the log that records are appended to.
type writeLog struct {
	file    file
	number  uint64
	durable int64 // bytes known to be on disk
	frame   []byte
}

func createLog(d disk, number uint64) (*writeLog, error) {
	name := fileName(number, logSuffix)
	f, err := d.create(name)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	if _, err = f.Write(appendPreamble(nil, logMagic)); err == nil {
		if err = f.Sync(); err == nil {
			err = d.sync()
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("create log %s: %w", name, err)
	}
	return &writeLog{file: f, number: number, durable: preambleSize}, nil
}

// append makes records durable. After an error the log must not be used again:
// what a failed sync left on disk cannot be known, nor does a second sync tell. The
// next Open finds the frame whole or cuts it off.
func (l *writeLog) append(first uint64, records [][]byte) error {
	l.frame = appendFrame(l.frame[:0], first, records)
	_, err := l.file.Write(l.frame)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("write log %s: %w", fileName(l.number, logSuffix), err)
	}
	l.durable += int64(len(l.frame))
	if cap(l.frame) > frameKeep {
		l.frame = nil
	}
	return nil
}

// frameKeep is the largest buffer kept from one frame to the next.
const frameKeep = 4 << 20
