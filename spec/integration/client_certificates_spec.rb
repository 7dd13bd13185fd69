# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "and what it learns of a TLS client" do
  # A certificate that nobody has signed but itself.
  client_key = OpenSSL::PKey::EC.generate("prime256v1")
  client_certificate = OpenSSL::X509::Certificate.new.tap do |made|
    made.version = 2
    made.serial = 2
    made.subject = made.issuer = OpenSSL::X509::Name.parse("/CN=client")
    made.public_key = client_key
    made.not_before = Time.now - 3600
    made.not_after = Time.now + 86_400
    made.sign(client_key, OpenSSL::Digest.new("SHA256"))
  end
  identity = { key: client_key, cert: client_certificate }.freeze

  def tls_client(port: server.port, **settings) = opened(TlsClient.new(port, **settings))

  # The client's opening handshake is answered, and so is its message.
  def expect_service(**settings)
    client = tls_client(**settings)
    client.open
    client.text("hello")
    expect(client.read_text).to eq("hello")
  end

  # In TLS 1.3 a client has finished before it learns of it.
  def expect_refusal(**settings)
    client = begin
      tls_client(**settings)
    rescue OpenSSL::SSL::SSLError, SystemCallError
      nil
    end
    client&.open
    expect(client&.response).to be_nil
  end

  # Hooks that every connection has while the block runs.
  def hooked(**hooks)
    prepended = Module.new
    hooks.each { |name, body| prepended.define_method(name, &body) }
    described_class::Connection.prepend(prepended)
    yield
  ensure
    hooks.each_key { |name| prepended.send(:remove_method, name) }
  end

  def serve_securely(**tls_options, &accept)
    serve(secure: true, tls_options: Certificate.tls_options.merge(tls_options), &accept)
  end

  def serve_verifying(answer, **tls_options)
    serve_securely(verify_peer: true, **tls_options) do |ws|
      echo(ws)
      ws.define_singleton_method(:ssl_verify_peer, &answer) if answer
    end
  end

  it "ends the connection where ssl_handshake_completed raises", :extension do
    serve_securely do |ws|
      echo(ws)
      ws.define_singleton_method(:close_connection) { |*| nil }
      ws.define_singleton_method(:ssl_handshake_completed) { raise "not with me" }
    end
    expect_refusal

    expect(event_names).to eq(%i[error])
  end

  [{}, { attached: true }].each do |where|
    describe(where.empty? ? "in the background" : "on EventMachine's own socket", **where) do
      %w[TLS1_2 TLS1_3].each do |name|
        version = OpenSSL::SSL.const_get("#{name}_VERSION")
        settings = { min_version: version, max_version: version }

        it "serves whom ssl_verify_peer accepts (#{name})" do
          seen = events
          serve_verifying(->(pem) { (seen << pem) && true })
          expect_service(**settings, **identity)
          shown = seen.drain.grep(String)

          expect(shown.uniq).to eq([client_certificate.to_pem])
        end

        it "ends the connection of whom ssl_verify_peer refuses (#{name})" do
          serve_verifying(->(_pem) { false })
          expect_refusal(**settings, **identity)

          expect(event_names).not_to include(:open)
        end

        it "serves a client without a certificate, and asks nobody (#{name})" do
          seen = events
          serve_verifying(->(pem) { (seen << pem) && false })
          expect_service(**settings)

          expect(seen.drain.grep(String)).to be_empty
        end

        it "refuses a client without a certificate where fail_if_no_peer_cert is set (#{name})" do
          serve_verifying(->(_pem) { true }, fail_if_no_peer_cert: true)
          expect_refusal(**settings)
          expect_service(**settings, **identity)
        end
      end

      # Who has not agreed has refused.
      { "what is no StandardError" => NotImplementedError, "an exception" => ArgumentError }
        .each do |what, raised|
        it "ends the connection before #{what} leaves ssl_verify_peer", :extension do
          serve_verifying(->(_pem) { raise raised, "not today" })
          begin
            tls_client(**identity).then do |client|
              client.write(client.request)
              expect(client.read_response).to be_nil
            end
          rescue OpenSSL::SSL::SSLError, SystemCallError, RawClient::TimedOut
            nil
          end

          expect(event_names).not_to include(:open)
          begin
            # EventMachine does not tell onerror, but ends.
            server.reactor.join if where[:attached] || raised == NotImplementedError
          rescue raised => e
            expect(e.message).to eq("not today")
          end
        end
      end

      it "refuses every certificate without an ssl_verify_peer" do
        serve_verifying(nil)

        expect_refusal(**identity)
      end

      it "asks for no certificate without verify_peer" do
        serve_securely
        client = tls_client(**identity)
        client.open
        ws = open_connection

        expect(server.call { ws.get_peer_cert }).to be_nil
      end

      it "asks an ssl_verify_peer of a prepended module" do
        seen = events
        hooked(ssl_verify_peer: ->(pem) { (seen << pem) && true }) do
          serve_verifying(nil)
          expect_service(**identity)
        end

        expect(seen.drain.grep(String).uniq).to eq([client_certificate.to_pem])
      end

      it "shows the client's certificate, in onopen and later" do
        serve_verifying(->(_pem) { true })
        client = tls_client(**identity)
        client.open
        ws = open_connection

        expect(server.call { ws.get_peer_cert }).to eq(client_certificate.to_pem)
      end

      it "tells ssl_handshake_completed once, before onopen" do
        calls = events
        serve_securely do |ws|
          ws.onopen { calls << [:open, ws.get_cipher_protocol, ws.get_sni_hostname] }
          ws.define_singleton_method(:ssl_handshake_completed) do
            calls << [:secured, get_cipher_protocol, get_sni_hostname]
          end
        end
        tls_client(hostname: "chat.example").open

        expect(Array.new(2) { calls.pop })
          .to eq(%i[secured open].map { |name| [name, "TLSv1.3", "chat.example"] })
        expect(calls).to be_empty
      end

      it "tells an ssl_handshake_completed of a prepended module" do
        calls = events
        hooked(ssl_handshake_completed: -> { calls << :secured }) do
          serve_securely { |ws| ws.onopen { calls << 1 } }
          tls_client.open

          expect(Array.new(2) { calls.pop }).to eq([:secured, 1])
        end
      end

      it "knows no host where the client named none, whatever sni_hostname says" do
        serve_securely(sni_hostname: "ours.example")
        tls_client.open
        nameless = open_connection
        tls_client(hostname: "theirs.example").open
        named = open_connection

        expect(server.call { named.get_sni_hostname }).to eq("theirs.example")
        expect(server.call { nameless.get_sni_hostname }).to be_nil
      end
    end
  end
end
