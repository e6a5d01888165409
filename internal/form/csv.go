package form

// AppendCSV appends a text as a field of CSV (RFC 4180). It is in quotes where it must be, where there is nothing in
// it, so that it is told from what is not known, and where it begins with a blank or as a formula does. A backslash,
// too, is in quotes, for some readers take it for more than it is.
func AppendCSV[T string | []byte](b []byte, text T) []byte {
	if !quoted(text) {
		return append(b, text...)
	}
	b = append(b, '"')
	for i := range len(text) {
		if text[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, text[i])
	}
	return append(b, '"')
}

func quoted[T string | []byte](text T) bool {
	if len(text) == 0 {
		return true
	}
	switch text[0] {
	case '=', '+', '-', '@', ' ':
		return true
	}
	for i := range len(text) {
		switch text[i] {
		case '"', ',', '\\', '\r', '\n':
			return true
		}
	}
	return false
}
