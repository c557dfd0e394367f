package fingerprint

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestObfuscation(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Obfuscation
	}{
		{"zero width", "The sum\u200bmary of the bud\u200b\u2060get is con\ufefffidential", Obfuscation{ZeroWidth: 4}},
		{"zero width beside a word", "@Minister\u200b said the summary is out", Obfuscation{ZeroWidth: 1}},
		{"zero width in Urdu", "کابینہ کی خف\u200bیہ سمری", Obfuscation{ZeroWidth: 1}},
		{"joiners", "top sec\u200cret and 20\u200d26", Obfuscation{ZeroWidth: 2}},
		{"joiner in Cyrillic", "секр\u200dетно", Obfuscation{ZeroWidth: 1}},
		{"vowel separator and fillers", "se\u180ecret su\u3164mmary", Obfuscation{ZeroWidth: 2}},
		{"selector", "se\ufe0fcret su\U000e0101mmary", Obfuscation{ZeroWidth: 2}},
		{"invisible operators", "c\u2061o\u2062n\u2063f\u2064i\u2062dential", Obfuscation{ZeroWidth: 5}},
		{"tags", "Nothing here.\U000e0073\U000e0065\U000e0063", Obfuscation{ZeroWidth: 3}},
		{"directional marks", "sec\u200eret sum\u2066mary", Obfuscation{ZeroWidth: 2}},
		{"override", "the \u202eterces\u202c summary", Obfuscation{ZeroWidth: 1}},
		{"soft hyphens", "s\u00ade\u00adc\u00adr\u00ade\u00adt and re\u00adpo\u00adrt", Obfuscation{SoftHyphen: 7}},
		{"Cyrillic in Latin", "The fedеrаl cаbinet approved the pаper", Obfuscation{LookAlike: 4, MixedScript: 3}},
		{"at the ends of words", "Тhe reроrt is secrеt, аnd sо on", Obfuscation{LookAlike: 6, MixedScript: 5}},
		{"whole words", "We saw the расе and the сор in the street", Obfuscation{LookAlike: 7}},
		{"Greek", "The pαper of the cοnfidential Ηome", Obfuscation{LookAlike: 3, MixedScript: 3}},
		{"Armenian, Cherokee", "the cօnfidential sᎪFE house", Obfuscation{LookAlike: 2, MixedScript: 2}},
		{"Latin in Cyrillic", "Прoект бюджетa и спрaвка для правительства", Obfuscation{MixedScript: 2}},
		{"Latin in Greek", "Το απόρρητo έγγραφo του υπουργείoυ", Obfuscation{MixedScript: 1}},
		{"Arabic in Latin", "the conهidential and the secرet paper of حکoمت", Obfuscation{MixedScript: 3}},
		{"mathematical", "The 𝐒𝐞𝐜𝐫𝐞𝐭 𝗿𝗲𝗽𝗼𝗿𝘁 and a co𝐧𝐟idential one", Obfuscation{LookAlike: 14}},
		{"full width", "The ｓｅｃｒｅｔ report", Obfuscation{LookAlike: 6}},
		{"enclosed", "The ⓢⓔⓒⓡⓔⓣ report is c🅾nfidential", Obfuscation{LookAlike: 7}},
		{"spaced", "this is c o n f i d e n t i a l", Obfuscation{SpacedOut: 1}},
		{"several", "t o p   s e c r e t   r e p o r t", Obfuscation{SpacedOut: 2}},
		{"after a word of one letter", "is a  s e c r e t", Obfuscation{SpacedOut: 1}},
		{"dots and dashes", "a s.e.c.r.e.t, S-e-c-r-e-t, s_e_c_r_e_t, S*E*C*R*E*T, s . e . c . r . e . t", Obfuscation{SpacedOut: 5}},
		{"capitals", "the S E C R E T paper", Obfuscation{SpacedOut: 1}},
		{"spaced Urdu", "یہ س ر ک ا ر ی دستاویز ہے", Obfuscation{SpacedOut: 1}},
		{"spaced Russian", "это с е к р е т н о", Obfuscation{SpacedOut: 1}},
		{"stacked", "s\u0300\u0301\u0302\u0303\u0304\u0305ecre\u0316\u0317\u0318\u0319t", Obfuscation{StackedMarks: 2}},
		{"stacked Urdu", "خ\u0300\u0301\u0302\u0303\u0304\u0305فیہ", Obfuscation{StackedMarks: 1}},
		{"all at once", "se\u200bcret fedеral c.a.b.i.n.e.t ｐａｐｅｒ", Obfuscation{ZeroWidth: 1, LookAlike: 6, MixedScript: 1, SpacedOut: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := FindObfuscation(c.text); got != c.want {
				t.Errorf("%q:\n got %+v\nwant %+v", c.text, got, c.want)
			}
		})
	}
}

// TestObfuscationNone holds what honest texts are full of.
func TestObfuscationNone(t *testing.T) {
	for _, text := range append([]string{
		"",
		"\ufeffThe first line\n\ufeffand that of the next file.\r\n\ufeff",
		// Latin.
		"COVID19, B2B, H2O, 3rd, F.No. 3(2)/2026-Admin, U.S.S.R., U. S. A., W.A.P.D.A., a.k.a., J. R. R. T. Smith",
		"naïve façade Ærøskøbing Straße ﬁnal oﬃce № 5 Nº 4 ℅ ™ ℃ Å ı ŉ ǅ",
		"hyphen\u00ad\nated, con\u00adfi\u00adden\u00adtial, sub\u00adsection, Qanun\u00ade\u00adShahadat, 1\u00ad7\u00ad2007",
		"a line that breaks at https://\u200bexample.org/\u200ba-\u200bb and there\u200b\n",
		"Tiếng Việt: quyết định của Thủ tướng; NFD: Tie\u0302\u0301ng Vie\u0323\u0302t",
		// What stands on papers and in tables.
		"C-O-N-F-I-D-E-N-T-I-A-L and S.E.C.R.E.T; his name is O-R-T-E-G-A; n-o-o-o-o-o",
		"a, b, c, d, e, f; a b c d e f; A. B. C. D. E. F. G.; A C D F H K; z y x w v; A A B B C C; A B C D E A B C D E",
		"M T W T F S S\tJ F M A M J J A S O N D\tO N D J F M\tY N Y Y N N\tW L L D W L\tA C B D A E\tI V X I I V",
		"A T G C A T T A G; x x x x x x; o o o o o; 1 2 3 4 5 6; s\ne\nc\nr\ne\nt; s\te\tc\tr\te\tt",
		"Contents . . . . . . . . 4\n| a | o | n | f | i |\n* * * * *\n- - - - -\n_ _ _ _ _",
		// Formulas and units.
		"5 μm, 3 kΩ, 2 µF, 10 MΩcm, Δt, ΔHf, λmax, ψφa, TNFα, IFNγ, NFκB, IκBα, PPARγ, β2, α-helix, sinαcosβ, χ²",
		"𝑥 = 𝑦² + 2𝑎𝑏, 𝑠𝑖𝑛𝑥, 𝐴𝐵𝐶𝐷, 𝑉out, ℝ ⊂ ℂ, ℓ, 𝛼𝛽𝛾𝛿𝜀, sin\u2061x + log\u2061log\u2061n, a\u2062b\u2062c\u2062d",
		"Ⓐ Ⓑ Ⓒ ⒜ ⒝ ⒞ ① ② and Ⓜ️etro 🅰️🅱️🆎🅾️ 🅱ussin ℹ️nfo 1️⃣2️⃣3️⃣",
		// Urdu, Persian, Arabic.
		"وزارتِ خزانہ، حکومتِ پاکستان کی جانب سے جاری کردہ دفتری یادداشت نمبر ۱۲ مورخہ ۵ جولائی ۲۰۲۶ء",
		"بحوالہ F.No. 3(2)/2026-Admin سیکشن آفیسر (Budget-II) کی PDFفائل اور GDPکی شرح، کیPDFفائل\u200f، \u2067IMF\u2069 کا قرض",
		"می\u200cخواهم کتاب\u200cهای PDF\u200cها را به خانه\u200cام ببرم؛ لا\u200dئے",
		"بِسْمِ ٱللَّهِ ٱلرَّحْمَـٰنِ ٱلرَّحِيمِ وَلَا ٱلضَّآلِّينَ \u06dd وَٱلصَّـٰٓفَّـٰتِ صَفًّۭا عَلَىٰٓۖ",
		"ا ب پ ت ٹ ث؛ ا ب ج د ہ و ز؛ أ ب ت ث ج ح خ؛ پ ی ٹ ی",
		"اردو میں English \u200eword\u200f اور re\u200eport",
		// Cyrillic and Greek.
		"Совет министров СССР принял постановление; хор, ура, сор, оса. IT-специалист купил iPhone и SMSку, USBшный",
		"А. С. Пушкин и Л. Н. Толстой; а б в г д е; Съезд ЖКХ в 2026г. Їжак, ґанок, њива, ђак",
		"The USSR (СССР) and its capital МОСКВА; in Russian хорошо and сор are words.",
		"Η Ελληνική Κυβέρνηση ενέκρινε τον προϋπολογισμό του 2026· ΑΧΑ, ΑΕΚ, ᾧ, ᾆδε, α β γ δ ε",
		"Fraternities are ΑΚΑ, ΧΙ and ΖΒΤ.",
		// Others.
		"प्रधानमंत्री ने कहा कि क्\u200dष और क्\u200cष अलग हैं, র\u200d্য, ක්\u200dෂ",
		"ใช้\u200bWindows\u200bได้ และ ภาษา\u200bไทย, ភាសា\u200bខ្មែរ, မြန်မာဘာသာ ကြွှေး့်, བསྒྲུབས",
		"בְּרֵאשִׁ֖ית בָּרָ֣א אֱלֹהִ֑ים", "ᠮᠣᠩᠭᠣᠯ\u180eᠠ",
		"日本のＮＨＫとＰＤＦファイル、我用iPhone手机\u200b和电脑 한국어 SMS는 葛\U000e0100城",
		"Հայաստանի կառավարություն, PDFներ; საქართველო; ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ",
		"👨\u200d👩\u200d👧 🏳️\u200d🌈 ❤️ 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007fEngland 🇵🇰Pakistan",
		"\xff\xfe\x80abc\xf0\x90",
	}, samples...) {
		if got := FindObfuscation(text); got != (Obfuscation{}) {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// TestObfuscationAccidents: single slips in a long text are not a disguise. What
// has no honest cause counts in any.
func TestObfuscationAccidents(t *testing.T) {
	page := strings.Repeat("The division has approved the revised schedule of allowances. ", 30)
	if got := FindObfuscation(page + "pаper s e c r e t ⓢⓔⓒⓡⓔⓣ"); got != (Obfuscation{}) {
		t.Errorf("%+v", got)
	}
	want := Obfuscation{ZeroWidth: 1, StackedMarks: 1}
	if got := FindObfuscation(page + "se\u200bcret e\u0300\u0301\u0302\u0303"); got != want {
		t.Errorf("%+v", got)
	}
	want = Obfuscation{LookAlike: 30, MixedScript: 30}
	if got := FindObfuscation(strings.ReplaceAll(page, "approved", "aрproved")); got != want {
		t.Errorf("%+v", got)
	}
}

func TestObfuscationJSON(t *testing.T) {
	got, err := json.Marshal(FindObfuscation("se\u200bcret fedеral"))
	if want := `{"zero_width":1,"look_alike":1,"mixed_script":1}`; err != nil || string(got) != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
}

// TestObfuscationHostile holds the time to what one reading takes, and the memory to
// none. The limit of time is a hundred times what it should be.
func TestObfuscationHostile(t *testing.T) {
	FindObfuscation("") // loads the table
	for _, unit := range []string{
		"a", "а", "A", "\u0301", "a\u0301", "\u200b", "a\u200b", "\u00ad", "\U000e0041", "𝐚", "🅰", " ", "a ", "с е к р", "ا ب ج ",
		"s e c r e t  ", "aа", "\xff", "\n", "\u202e", "\u2061", "a.", "aα",
	} {
		text := strings.Repeat(unit, 1<<20/len(unit))
		start := time.Now()
		allocs := testing.AllocsPerRun(1, func() { checkObfuscation(t, text) })
		t.Logf("%q: %v for two, %v allocations", unit, time.Since(start), allocs)
		if took := time.Since(start); took > 10*time.Second || allocs > 10 {
			t.Errorf("%q: %v, %v allocations", unit, took, allocs)
		}
	}
}

// checkObfuscation holds the counts of a text to what it could have.
func checkObfuscation(t *testing.T, text string) {
	got, n := FindObfuscation(text), utf8.RuneCountInString(text)
	for _, c := range []struct {
		kind         string
		count, least int // characters that one takes
	}{
		{"zero width", got.ZeroWidth, 1},
		{"soft hyphen", got.SoftHyphen, 1},
		{"look alike", got.LookAlike, 1},
		{"mixed script", got.MixedScript, 2},
		{"spaced out", got.SpacedOut, 2*manySpaced - 1},
		{"stacked marks", got.StackedMarks, 1 + manyMarks},
	} {
		if c.count < 0 || c.count*c.least > n {
			t.Errorf("%d × %s in %d characters", c.count, c.kind, n)
		}
	}
}

func FuzzObfuscation(f *testing.F) {
	for _, s := range samples {
		f.Add(s)
	}
	f.Add("se\u200bcret fedеral c.a.b.i.n.e.t ｐａｐｅｒ 𝐒𝐞𝐜𝐫𝐞𝐭 s\u00ade\u00adc\u00adr")
	f.Add("a\u0300\u0301\u0302\u0303 c\u2061o\u2062n\u2063f\u2064i \u202eterces 🏴\U000e0067 س ر ک ا ر ی")
	f.Fuzz(func(t *testing.T, text string) {
		checkObfuscation(t, text)
	})
}
