# Gets a page for 5 s: with Net::HTTP.get (each) or over one connection (kept).
require 'net/http'

page = URI('http://127.0.0.1/page.html')
deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 5
busy = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) < deadline }

if ARGV[0] == 'kept'
  Net::HTTP.start(page.host, page.port) do |http|
    while busy.call
      http.get(page.path)
      sleep 0.02
    end
  end
else
  while busy.call
    Net::HTTP.get(page)
    sleep 0.03
  end
end
