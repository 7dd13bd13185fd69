# frozen_string_literal: true

# The headers that an application may not write into the answer to an opening handshake: those that
# say where the answer ends, or belong to the handshake itself.
RSpec.describe EventMachine::WebSocket, "and an application's own headers", :extension do
  # No field at all, whatever the answer.
  unsound = {
    "" => "x", "A B" => "x", "A:" => "x", "A\r\nB" => "x", "Ä" => "x", "\xFF".b => "x",
    "X" => "a\r\nB: c", "X-LF" => "a\nb", "X-CR" => "a\rb", "X-NUL" => "a\0b", "X-DEL" => "a\x7Fb",
    "X-List" => ["a", "b\r\nc: d"]
  }
  framing = {
    "Content-Length" => "0", "content-length" => "999", "CONTENT-LENGTH" => 5,
    "Content-Length": 5, "Content-length" => %w[1 2], "Content-Length ": "5",
    "Transfer-Encoding" => "chunked", "transfer-ENCODING" => "identity",
    "Connection" => "keep-alive", "cONNECTION" => "Upgrade"
  }
  handshake = {
    "Upgrade" => "h2c", "upgrade" => "websocket", "Sec-WebSocket-Accept" => "x",
    "sec-websocket-protocol" => "x", "SEC-WEBSOCKET-EXTENSIONS" => "x",
    "Sec-WebSocket-Version" => "8", "Sec-WebSocket-X" => "x",
    "WebSocket-Location" => "ws://x/", "websocket-origin" => "http://x"
  }

  def answer(**request)
    client = dial
    client.write(client.request(**request))
    response = client.read_response
    response.merge(body: client.read_to_end)
  end

  def expect_no_field(name)
    response = answer
    error = EM::WebSocket::WebSocketError
    name = name.to_s.dup.force_encoding(Encoding::UTF_8).scrub
    message = "#{name.inspect} cannot be added as an HTTP header field"
    expect(response[:status]).to eq("HTTP/1.1 500 Internal Server Error")
    expect(response[:lines]).to eq(
      ["Connection: close", "Content-Type: text/plain; charset=utf-8", "Content-Length: 21"]
    )
    expect(response[:body]).to eq("Internal Server Error")
    expect(next_event(:error).value).to be_instance_of(error).and have_attributes(message: message)
  end

  {
    "in the background" => {}, "on EventMachine's own sockets" => { attached: true }
  }.each do |where, metadata|
    describe(where, **metadata) do
      unsound.merge(framing).each do |name, value|
        it "lets no #{name.inspect}: #{value.inspect} into a refusal" do
          serve do |ws|
            record(ws)
            ws.onrequest { |_, response| response.refuse(403, "no", name => value) }
          end

          expect_no_field(name)
        end
      end

      unsound.merge(framing, handshake).each do |name, value|
        it "lets no #{name.inspect}: #{value.inspect} into an answer that opens" do
          serve do |ws|
            record(ws)
            ws.onrequest { |_, response| response.headers[name] = value }
          end

          expect_no_field(name)
        end
      end

      it "lets what else there is into a refusal, with one length and one end" do
        mine = { "Upgrade" => "websocket", "Date" => "today", "content-type" => "text/html",
                 "Sec-WebSocket-Version" => "13", "X-Bytes" => "\xE9\t".b, "Set-Cookie" => %w[a b] }
        serve { |ws| ws.onrequest { |_, response| response.refuse(426, "grüße", mine) } }
        response = answer

        expect(response[:lines]).to eq(
          ["Connection: close", "Upgrade: websocket", "Date: today", "content-type: text/html",
           "Sec-WebSocket-Version: 13", "X-Bytes: \xE9 ".b, "Set-Cookie: a", "Set-Cookie: b",
           "Content-Length: 7"]
        )
        expect(response[:body]).to eq("grüße".b)
      end

      [204, 205, 304].each do |status|
        it "sends no body with #{status}" do
          serve { |ws| ws.onrequest { |_, response| response.refuse(status, "body") } }

          expect(answer[:body]).to eq("")
        end
      end
    end
  end
end
