# frozen_string_literal: true

# The header that a proxy of TCP sends before the client's first byte: `:proxy_protocol`.
RSpec.describe EventMachine::WebSocket, "behind a proxy that speaks the PROXY protocol",
               :extension do
  include HttpClient

  client = "192.0.2.7"
  text = "PROXY TCP4 #{client} 203.0.113.9 56324 443\r\n"
  binary = lambda do |command: 0x21, family: 0x11, length: 12,
                   rest: [192, 0, 2, 7, *[1] * 8]|
    "\r\n\r\n\0\r\nQUIT\n".b + [command, family, length, *rest].pack("CCnC*")
  end

  def telling(transport, options)
    serve_by(transport, options) do |ws|
      accepted = ws.remote_ip
      ws.onopen do |handshake|
        peer = Socket.unpack_sockaddr_in(ws.get_peername).last
        note(:open, [accepted, ws.remote_ip, handshake.remote_ip, peer])
      end
      ws.onmessage { |message| ws.send(message) }
      ws.onclose { note(:close, ws.remote_ip) }
    end
  end

  # A client whose proxy sends this before it.
  def behind(header, **request)
    dial.tap do |client|
      client.write(header)
      client.open(**request)
    end
  end

  %i[background raw].each do |transport|
    describe "of connections #{Transports::ALL[transport]}" do
      { "of version 1" => text, "of version 2" => binary.call,
        "of version 2 with more in it" =>
          binary.call(length: 900, rest: [192, 0, 2, 7, *[0] * 896]) }
        .each do |what, header|
        it "has the client's address from a header #{what}" do
          telling(transport, proxy_protocol: true)
          visitor = behind(header)

          expect(next_event(:open).value).to eq(["127.0.0.1", client, client, "127.0.0.1"])
          visitor.text("hello")
          expect(visitor.read_text).to eq("hello")
          visitor.disconnect
          expect(next_event(:close).value).to eq(client)
        end
      end

      it "has the proxy's address of its own checks" do
        telling(transport, proxy_protocol: "127.0.0.1")
        behind(binary.call(command: 0x20, family: 0, length: 0, rest: []))

        expect(next_event(:open).value).to eq(["127.0.0.1"] * 4)
      end

      it "looks for trusted proxies behind that address" do
        telling(transport, proxy_protocol: true, trusted_proxies: "192.0.2.0/24")
        behind(text, headers: { "X-Forwarded-For" => "203.0.113.5" })
        expect(next_event(:open).value[1, 2]).to eq(["203.0.113.5"] * 2)

        # The proxy's own is none of them.
        behind("PROXY TCP4 198.51.100.1 203.0.113.9 1 2\r\n",
               headers: { "X-Forwarded-For" => "127.0.0.1" })
        expect(next_event(:open).value[1, 2]).to eq(["198.51.100.1"] * 2)
      end
    end
  end

  it "reads it before TLS" do
    telling(:background, proxy_protocol: true, secure: true, tls_options: Certificate.tls_options)
    visitor = dial
    visitor.write(text)
    visitor.__send__(:start_tls)
    visitor.open

    expect(next_event(:open).value[1]).to eq(client)
  end

  attacks = {
    "no header" => "", "half a header that goes on as HTTP" => "PROXY TCP4 192.0.2.7 ",
    "a header of 10 KB" => "PROXY TCP4 #{"1" * 10_240}\r\n",
    "a header of 10 KB of version 2" => binary.call(length: 10_240, rest: [1] * 10_240),
    "a version 2 that is shorter than its addresses" => binary.call(length: 11, rest: [1] * 11),
    "a version 2 of IPv6 that is as long as IPv4's" => binary.call(family: 0x21),
    "a version 3" => binary.call(command: 0x31),
    "two spaces in it" => text.sub(" ", "  "), "no CR in it" => text.delete("\r")
  }
  attacks.each do |what, header|
    it "closes a client that sends #{what}, unheard" do
      telling(:background, proxy_protocol: ["127.0.0.1"])
      forger = behind(header)

      expect(forger.response).to be_nil
      expect(EM::WebSocket.stats(server.signature)[:handshakes_failed]).to eq({ proxy: 1 })
    end
  end

  it "closes whoever comes from elsewhere, also with a header" do
    telling(:background, proxy_protocol: ["192.0.2.0/24", "127.0.0.2"])

    expect(behind(text).response).to be_nil
    allowed = dial(from: "127.0.0.2")
    allowed.write(text)
    allowed.open
    expect(next_event(:open).value[1]).to eq(client)
  end

  it "gives half a header the time of the opening handshake" do
    telling(:background, proxy_protocol: true, handshake_timeout: 0.1)
    slow = dial
    slow.write(text[0, 20])

    expect(slow.read_to_end).to eq("")
  end

  it "tells plain HTTP the address, and shows it no page by a header that it has sent itself" do
    serve(proxy_protocol: true, http: { "/" => ->(request) { request.remote_ip }, "/-/" => :live })
    asking = ->(header, path, **more) { respond_to(dial, header, request_of("GET", path, **more)) }

    expect(asking.call(text, "/").body).to eq(client)
    expect(asking.call(text, "/-/").status).to eq(403)
    local = text.sub(client, "127.0.0.1")
    expect(asking.call(local, "/-/").status).to eq(200)
    forwarded = request_of("GET", "/-/", { "X-Forwarded-For" => "192.0.2.9" })
    expect(respond_to(dial, local, forwarded).status).to eq(403)
  end

  it "takes a header for bytes that are no HTTP without the option" do
    telling(:background, {})

    expect(behind(text).response).to be_nil
  end

  it "refuses what would let nobody in, and connections on EventMachine's own sockets" do
    expect { serve(proxy_protocol: []) }.to raise_error(ArgumentError, /lets nobody connect/)
    expect { serve(proxy_protocol: ["x"]) }
      .to raise_error(ArgumentError, /proxy_protocol: "x" is no address or network/)
    options = { proxy_protocol: true }
    expect { serve_by(:attached, options) }
      .to raise_error(ArgumentError, /proxy_protocol: connections on EventMachine's own sockets/)
  end
end
