# frozen_string_literal: true

require_relative "../../support/drafts"
require_relative "../../support/raw_client"

module Torture
  # Bytes that come one by one.
  class Trickle < Fault
    fault "trickle", "one byte at a time, through handshake and frames, every draft"

    MESSAGES = ["", "a", "Grüße, 世界 🎉", "x" * 300].freeze

    def run
      server = serve do |ws|
        ws.onmessage { |text| ws.send(text) }
        ws.onbinary { |bytes| ws.send_binary(bytes) }
      end
      watched = bystander(server)
      held = Drafts::ALL.select { |draft| converse(RawClient.new(server.port, draft)) }
      promise "drafts that say and hear all", held.map(&:number).join(" "),
              equals: Drafts::ALL.map(&:number).join(" ")
      unaffected(watched)
    end

    private

    def converse(client)
      draft = client.draft
      client.write(client.request, cut: 1)
      return false unless client.read_response(draft.trailer.bytesize)

      echoes = MESSAGES.all? do |text|
        client.write(client.encode(:text, text), cut: 1)
        client.read_text == text
      end
      echoes && (!draft.binary? || more(client)) && closes(client)
    ensure
      client.disconnect
    end

    def more(client)
      client.write(client.encode(:binary, "\x00\xFF" * 100), cut: 1)
      return false unless client.read(:binary) == "\x00\xFF".b * 100

      client.write(client.encode(:ping, "p" * 125), cut: 1)
      return false unless client.read(:pong) == "p" * 125

      client.write(client.encode_fragments(:text, %w[one two three]), cut: 1)
      client.read_text == "onetwothree"
    end

    def closes(client)
      client.write(client.encode_close(1000), cut: 1)
      client.read(:close)
      client.eof?
    end
  end
end
