# frozen_string_literal: true

require "zlib"

module Torture
  # Messages that are begun, inflate to a thousand times what was sent, and are not complete.
  class Unfinished < Fault
    fault "unfinished", "20 clients that finish no message, with :inbound_total"

    CLIENTS = 20
    TOTAL = 4 * 1024 * 1024
    OFFER = "permessage-deflate; client_no_context_takeover"
    # The bytes that each may hold, however little room there is.
    EACH = 64 * 1024

    def run
      size = scaled(60_000_000, 16_000_000)
      server = serve_echo({ compression: true, inbound_total: TOTAL })
      bystander = bystander(server)
      clients = Array.new(CLIENTS) { Client.new(server.port).open(Sec_WebSocket_Extensions: OFFER) }
      server.usage.mark
      clients.each { |client| client.socket.write(frame(size)) }
      waiting = watch(server)
      memory(server, at_most: ((TOTAL + size) / MIB) + 24)
      promise "waiting at the most", waiting / MIB, "MiB",
              at_most: (TOTAL + size + (CLIENTS * EACH)) / MIB
      unaffected(bystander)
    end

    private

    # A frame without Fin, of bytes that are compressed.
    def frame(size)
      deflated = Zlib::Deflate.new(9, -15).deflate("a" * size, Zlib::SYNC_FLUSH)[0...-4]
      Client.frame(Client::TEXT, deflated).tap { |bytes| bytes.setbyte(0, 0x40 | Client::TEXT) }
    end

    def watch(server)
      most = 0
      eventually(scaled(15, 3)) { (most = [most, server.ask(:counters)[1]].max).negative? }
      most
    end
  end
end
