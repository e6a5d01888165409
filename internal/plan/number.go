package plan

import (
	"math"
	"strconv"
	"strings"

	"github.com/tcpstate/tcpstate/internal/form"
)

// figure is a number as the document shows it: never with an exponent.
type figure float64

// MarshalJSON writes all digits that there are.
func (f figure) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(f), 'f', -1, 64), nil
}

// noise is what float64 adds to a product or takes off it at most, as a share: 3 × 0.1 is a little more than 0.3.
const noise = 1e-15

// down rounds a rate down, so that what is said to last does.
func down(v float64) figure { return figure(cut(v, 4, math.Floor)) }

// near rounds a time.
func near(v float64) figure { return figure(cut(v, 4, math.Round)) }

// cut leaves so many significant digits of v, above 0, at least all before the point; at least one behind it if there are
// four.
func cut(v float64, digits int, round func(float64) float64) float64 {
	behind := digits - 1 - int(math.Floor(math.Log10(v)))
	scale := math.Pow10(max(behind, digits-3))
	return round(v*scale*(1+noise)) / scale
}

// exactly writes all digits of v, with a comma between thousands.
func exactly(v float64) string {
	whole, part, _ := strings.Cut(strconv.FormatFloat(v, 'f', -1, 64), ".")
	whole = form.Commas(whole)
	if part != "" {
		return whole + "." + part
	}
	return whole
}

// rate writes three digits or more of a rate, rounded down.
func rate(f figure) string { return exactly(cut(float64(f), 3, math.Floor)) }

// seconds writes three digits or more of a time.
func seconds(f figure) string { return exactly(cut(float64(f), 3, math.Round)) + " s" }

// clean takes the noise off a share.
func clean(part float64) float64 { return math.Round(part*1e9) / 1e9 }

// percent writes a share with all digits that it was made of.
func percent(part float64) string {
	return strconv.FormatFloat(math.Round(part*1e11)/1e9, 'f', -1, 64) + "%"
}
