# frozen_string_literal: true

# The client behind proxies whose word is taken: `:trusted_proxies`.
RSpec.describe EventMachine::WebSocket, "behind trusted proxies", :extension do
  include HttpClient

  # Client, as the connection and its handshake say it in onopen, and in onclose.
  def telling(transport, options)
    serve_by(transport, options) do |ws|
      ws.onopen do |handshake|
        note(:open, [ws.remote_ip, handshake.remote_ip, handshake.secure?])
        note(:peer, Socket.unpack_sockaddr_in(ws.get_peername).last)
      end
      ws.onclose { note(:close, ws.remote_ip) }
      ws.onerror { |error| note(:error, [error.class, error.message]) }
    end
  end

  client = "192.0.2.7"
  seen = {
    "the address that a trusted proxy has added" =>
      [{ "X-Forwarded-For" => "6.6.6.6, #{client}" }, [client, false]],
    "the address before those of the trusted proxies" =>
      [{ "X-Forwarded-For" => "6.6.6.6, #{client}, 10.1.2.3", "X-Forwarded-Proto" => "https" },
       [client, true]],
    "the address in Forwarded" =>
      [{ "Forwarded" => %(for=6.6.6.6, for="#{client}:80";proto=https) }, [client, true]],
    "the proxy's own where it says nothing" => [{}, ["127.0.0.1", false]],
    "the proxy's own where it hides the client's" =>
      [{ "Forwarded" => "for=6.6.6.6, for=_hidden;proto=wss" }, ["127.0.0.1", true]]
  }

  Transports::ALL.each do |transport, way|
    describe "of connections #{way}" do
      seen.each do |what, (headers, (address, secure))|
        it "has for the client #{what}" do
          telling(transport, trusted_proxies: %w[127.0.0.1 10.0.0.0/8])
          client = connect(headers: headers)

          expect(next_event(:open).value).to eq([address, address, secure])
          expect(next_event(:peer).value).to eq("127.0.0.1")
          client.disconnect
          expect(next_event(:close).value).to eq(address)
        end
      end

      { "without the option" => {},
        "from an address that is none of theirs" => { trusted_proxies: ["10.0.0.0/8"] } }
        .each do |how, options|
        it "believes nothing that a client says of itself #{how}" do
          telling(transport, options)
          connect(headers: { "X-Forwarded-For" => client, "Forwarded" => "for=6.6.6.6;proto=https",
                             "X-Forwarded-Proto" => "https" })

          expect(next_event(:open).value).to eq(["127.0.0.1", "127.0.0.1", false])
        end
      end

      it "refuses a client that sends the header which its proxy does not" do
        telling(transport, trusted_proxies: "127.0.0.0/8")
        forger = connect(headers: { "Forwarded" => "for=127.0.0.1", "X-Forwarded-For" => client })

        expect(forger.response[:status]).to eq("HTTP/1.1 400 Bad Request")
        expect(next_event(:error).value)
          .to match([EM::WebSocket::HandshakeError, /Forwarded and X-Forwarded-For do not name/])
      end

      it "says wss in the answer of draft 76 to whom a trusted proxy serves by TLS" do
        telling(transport, trusted_proxies: ["127.0.0.1"])
        old = Drafts::ALL.find { |draft| draft.number == 76 }
        client = connect(old, headers: { "X-Forwarded-Proto" => "https" })

        expect(client.response[:lines].grep(/Location/).join).to include("wss://")
      end
    end
  end

  it "tells onrequest who the client is" do
    serve(trusted_proxies: ["127.0.0.1"]) do |ws|
      ws.onrequest do |handshake, response|
        response.refuse(403, "#{handshake.remote_ip} #{ws.remote_ip}")
      end
    end
    refused = connect(headers: { "X-Forwarded-For" => client })

    expect(refused.read_to_end).to eq("#{client} #{client}")
  end

  it "tells it to plain HTTP, and lets a page be seen by whom the client is" do
    serve(trusted_proxies: ["127.0.0.1"],
          http: { "/" => ->(request) { "#{request.remote_ip} #{request.secure?}" },
                  "/-/" => :live, "/stats" => { stats: "192.0.2.0/24" } })
    headers = { "X-Forwarded-For" => client, "X-Forwarded-Proto" => "https" }

    expect(ask("GET", "/", headers).body).to eq("#{client} true")
    expect(ask("GET", "/stats", headers).status).to eq(200)
    expect(ask("GET", "/-/", headers).status).to eq(403)
    expect(ask("GET", "/-/", { "X-Forwarded-For" => "127.0.0.1, #{client}" }).status).to eq(403)
    # The proxy does not say who: it is not the one who sits at the machine.
    ["unknown", "127.0.0.1, unknown"].each do |hidden|
      expect(ask("GET", "/-/", { "X-Forwarded-For" => hidden }).status).to eq(403)
    end
    expect(ask("GET", "/-/").status).to eq(200)
  end

  it "takes addresses and networks, as Strings and IPAddrs, and no names" do
    [["127.0.0.1"], "127.0.0.1/8", [IPAddr.new("127.0.0.0/8"), "fd00::/8"]].each do |proxies|
      telling(:background, trusted_proxies: proxies)
      connect(headers: { "X-Forwarded-For" => client })
      expect(next_event(:open).value.first).to eq(client)
      next_event(:peer)
      server.stop
      events.drain
    end
    [["localhost"], [nil], "10.0.0.0/33", [:any], true].each do |wrong|
      expect { serve(trusted_proxies: wrong) }
        .to raise_error(ArgumentError, /trusted_proxies: .* is no address or network/)
    end
  end

  it "is found in a handshake that is fed by hand, from a peer that is told" do
    request = RawClient.allocate.tap { |it| it.instance_variable_set(:@draft, Drafts::RFC) }
                       .request(headers: { "X-Forwarded-For" => client })
    options = { trusted_proxies: ["::1"] }
    addresses = [nil, "::1", "::2"].map do |peer|
      handshake = EM::WebSocket::Handshake.new(false, options, peer)
      handshake.receive_data(request)
      handshake.remote_ip
    end

    expect(addresses).to eq([nil, client, "::2"])
  end
end
