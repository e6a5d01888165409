# Reads the output of "go test -v=test2json" and prints what its reader wants to know: the closing
# line of each package, what failed with its output, how many tests were skipped and why.
#
# in   -v version=6.18.44 -v must=1
#      files: kernels/may-skip, then - (the output)
#
# With must, a skipped test that is not in may-skip is a failure. A test with cases is counted through
# its cases. The mark ^V stands before each line of the testing package, so that a test that prints
# "--- PASS" decides nothing.

BEGIN { mark = "\026" }

FILENAME != "-" {
	if ($0 !~ /^#/ && NF >= 3 && covers($1))
		maySkip[$2] = 1
	next
}

/^\026?(ok|FAIL) *\t/ { sub(mark, ""); endPackage($1); print; fflush(); next }

index($0, mark) {
	keep(substr($0, 1, index($0, mark) - 1))
	line = substr($0, index($0, mark) + 1)
	if (line ~ /^=== (RUN|NAME|CONT|PAUSE) /)
		switchTest(line)
	else if (line ~ /^ *--- (PASS|FAIL|SKIP): /)
		endTest(line)
	next
}

{ keep($0) }

END {
	printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
	for (why in reasons)
		printf "  %d skipped: %s\n", reasons[why], why
	if (notRoot)
		print "  Those run as root: make test EXEC=sudo"
	exit failed > 0
}

function covers(kernel) {
	return kernel == "*" || kernel == version || index(version, kernel ".") == 1
}

function switchTest(line, word, parent) {
	split(line, word, / +/)
	current = word[3]
	if (word[2] != "RUN")
		return
	order[++tests] = current
	parent = current
	while (sub(/\/[^\/]*$/, "", parent))
		hasCases[parent] = 1
}

function endTest(line, word) {
	split(line, word, / +/)
	if (line ~ /^ /)
		split(substr(line, match(line, /-/)), word, / +/)
	state[word[3]] = substr(word[2], 1, 4)
	# What a panic prints comes after the line that says FAIL.
	current = state[word[3]] == "FAIL" ? word[3] : ""
}

function keep(text) {
	if (text != "")
		output[current] = output[current] text "\n"
}

function endPackage(result, i, before) {
	if (result == "FAIL")
		printf "%s", output[""]
	before = failed
	for (i = 1; i <= tests; i++)
		count(order[i])
	if (result == "FAIL" && failed == before)
		failed++
	tests = 0
	current = ""
	delete order
	delete state
	delete output
	delete hasCases
}

function count(test) {
	if (state[test] == "PASS")
		passed += !hasCases[test]
	else if (state[test] == "SKIP" && (!must || test in maySkip))
		skip(test)
	else if (state[test] == "SKIP")
		blame(test, "SKIP")
	else if (state[test] == "FAIL")
		blame(test, "FAIL")
	else
		blame(test, "did not end")
}

function skip(test, why) {
	why = output[test]
	sub(/^ *[^ ]*\.go:[0-9]+: /, "", why)
	sub(/\n.*/, "", why)
	skipped++
	reasons[why]++
	notRoot = notRoot || why ~ /not root/
}

function blame(test, what) {
	printf "--- %s: %s\n%s", what, test, output[test]
	failed += !hasCases[test]
}
