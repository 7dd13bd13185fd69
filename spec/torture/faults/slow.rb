# frozen_string_literal: true

require "open3"

module Torture
  # Opening handshakes that do not come to an end.
  class Slow < Fault
    COUNT = 100
    # Lateness with which a timeout may be seen on a busy machine.
    LATE = 3.0

    private

    # Seconds until each was ended by the server, while it is fed bytes, one at a time.
    def ends(clients, bytes)
      since = now
      ended = {}
      fed = 0
      Client.pump(clients, timeout + 30) do
        if now - since > fed * 0.2
          clients.each { |client| client.queue(bytes[fed % bytes.bytesize]).flush }
          fed += 1
        end
        clients.each { |client| ended[client] ||= now - since if client.ended? }
        ended.size == clients.size
      end
      ended.values.sort
    end

    def timeout = scaled(10, 2)

    def serve_opening(**options)
      opened = 0
      server = serve({ handshake_timeout: timeout, **options },
                     answers: { opened: -> { opened } }) do |ws|
        ws.onopen { opened += 1 }
        ws.onmessage { |text| ws.send(text) }
      end
      [server, -> { server.ask(:opened) }]
    end

    def gone(ended, what = "the first", limit: timeout)
      promise "#{what}: gone", ended.size, equals: COUNT
      promise "#{what}: the first, after", ended.first.to_f, "s", at_least: limit - 0.2
      promise "#{what}: the last, after", ended.last.to_f, "s", at_most: limit + LATE
    end
  end

  # A client's header, a byte at a time.
  class Slowloris < Slow
    fault "slowloris", "100 opening handshakes, a byte every 200 ms"

    def run
      server, opened = serve_opening
      watched = bystander(server)
      fds = server.usage.fds
      clients = Array.new(COUNT) { Client.new(server.port) }
      gone(ends(clients, Client.request.sub("\r\n\r\n", "\r\nX-Slow: #{"x" * 8000}")), "handshakes")
      promise "descriptors left", settles_at(0) { server.usage.fds - fds }, equals: 0
      promise "opened, beside the bystander", opened.call - 1, equals: 0
      unaffected(watched)
    end
  end

  # A TLS handshake, a byte at a time, and garbage in its place.
  class SlowTls < Slow
    fault "slow-tls", "100 TLS handshakes, a byte every 200 ms, and 100 that are garbage"

    def run
      server, opened = serve_opening(secure: true, tls_options: Certificate.tls_options)
      watched = Bystander.new(server.port, tls: true)
      fds = server.usage.fds
      clients = Array.new(COUNT) { Client.new(server.port) }
      gone(ends(clients, client_hello), "handshakes")
      garbage = Random.new(8446)
      clients = Array.new(COUNT) { Client.new(server.port).queue(garbage.bytes(2000)) }
      Client.pump(clients) { clients.all?(&:ended?) }
      promise "garbage: gone", clients.count(&:ended?), equals: COUNT
      promise "descriptors left", settles_at(0) { server.usage.fds - fds }, equals: 0
      promise "opened, beside the bystander", opened.call - 1, equals: 0
      unaffected(watched)
    end

    private

    # First bytes of a client.
    def client_hello
      ours, theirs = UNIXSocket.pair
      OpenSSL::SSL::SSLSocket.new(ours).connect_nonblock(exception: false)
      theirs.readpartial(16_384)
    end
  end

  # The same with a program of another hand.
  class SlowHttpTest < Slow
    fault "slowhttptest", "100 slow headers of slowhttptest's", quick: false, limit: 200

    def run
      return leave_out("slowhttptest", "it is not there") unless program?("slowhttptest")

      server, opened = serve_opening
      watched = bystander(server)
      output, = Open3.capture2e(
        *%w[slowhttptest -H -i 1 -v 1], "-c", COUNT.to_s, "-r", COUNT.to_s,
        "-l", (timeout * 3).to_s, "-u", "http://127.0.0.1:#{server.port}/"
      )
      ended = output[/Exit status:\e?[\[\d;m]*\s*(.*?)\e?[\[\d;m]*$/, 1].to_s.strip
      promise "it says", ended, equals: "No open connections left"
      promise "it ends after", output[/Test ended on (\d+)/, 1].to_i, "s", at_most: timeout + LATE
      promise "opened, beside the bystander", opened.call - 1, equals: 0
      unaffected(watched)
    end
  end
end
