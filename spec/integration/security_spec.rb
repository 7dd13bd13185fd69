# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "over TLS" do
  def serve_securely(options = {}, &accept)
    serve({ secure: true, tls_options: Certificate.tls_options }.merge(options), &accept)
  end

  # The next client is served, and the application is told of nobody else.
  def expect_only_the_next_client_told
    client = connect(tls: true)
    client.text("alive")

    expect(client.read_text).to eq("alive")
    expect(event_names).to eq(%i[open message])
  end

  Drafts::ALL.each do |draft|
    it "speaks #{draft}, and says wss where it names a location" do
      serve_securely
      client = connect(draft, tls: true)
      client.text("secret")

      expect(client.read_text).to eq("secret")
      expect(next_event(:open).value).to be_secure
      expect(client.response[:lines].grep(/Location: /)).to all(include(": wss://127.0.0.1:"))
      client.close
      expect(client.read_frame.type).to eq(:close)
      expect(client).to be_eof
    end
  end

  [0, 16_384, 16_385, 1_048_576].each do |size|
    it "echoes #{size} bytes" do
      serve_securely
      client = connect(tls: true)
      bytes = Random.new(size).bytes(size)
      client.binary(bytes)

      expect(client.read(:binary)).to eq(bytes)
    end
  end

  it "sends in the order of the calls, from every thread, before the close" do
    serve_securely { |ws| record(ws) }
    client = connect(tls: true)
    ws = open_connection
    server.call { ws.send("x" * 500_000) }
    Thread.new { ws.send(+"thread") }.join
    server.call { ws.close(4000, "bye") }

    expect([client.read_text.size, client.read_text, client.read(:close)])
      .to eq([500_000, "thread", "\x0F\xA0bye".b])
    client.close(4000)
    expect(client).to be_eof
    expect(next_event(:close).value).to eq(code: 4000, reason: "", was_clean: true)
  end

  it "tells 1006 of a connection that just ends" do
    serve_securely
    client = connect(tls: true)
    open_connection
    client.socket.to_io.close

    expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
  end

  it "tells every open connection of EM.stop" do
    serve_securely
    client = connect(tls: true)
    open_connection
    server.stop

    expect(next_event(:close).value).to eq(code: 1006, was_clean: false)
    expect(client).to be_eof
  end

  it "goes on with the certificate it has while another is being put in its place", :extension do
    Dir.mktmpdir do |directory|
      key, chain = %w[key chain].map { |name| File.join(directory, "#{name}.pem") }
      File.write(key, Certificate.key_text)
      File.write(chain, Certificate.chain_text)
      serve(secure: true, tls_options: { private_key_file: key, cert_chain_file: chain })
      connect(tls: true)
      File.write(key, OpenSSL::PKey::RSA.new(2048).to_pem)
      File.utime(0, 0, key)

      expect { connect(tls: true) }.to output(/does not match/).to_stderr
      File.write(key, Certificate.key_text)
      client = connect(tls: true)
      client.text("renewed")
      expect(client.read_text).to eq("renewed")
    end
  end

  it "answers both addresses and the cipher of a TLS connection" do
    serve_securely { |ws| record(ws) }
    client = connect(tls: true)
    ws = open_connection

    expect(server.call { Socket.unpack_sockaddr_in(ws.get_peername).first })
      .to eq(client.socket.to_io.local_address.ip_port)
    expect(server.call { ws.get_cipher_protocol }).to eq(client.socket.ssl_version)
    expect(server.call { [ws.get_cipher_name, ws.get_cipher_bits] })
      .to match([a_string_matching(/AES|CHACHA20/), 128..256])
  end

  it "hangs up on bytes that are not TLS, and tells nobody" do
    serve_securely
    plain = dial
    plain.write(plain.request)
    plain.read_to_end

    expect_only_the_next_client_told
  end

  it "hangs up on TLS where it is not secure, and tells onerror" do
    serve

    expect { dial(tls: true) }.to raise_error(
      satisfy { |error| error.is_a?(OpenSSL::SSL::SSLError) || error.is_a?(SystemCallError) }
    )
    expect(next_event(:error).value).to be_instance_of(EM::WebSocket::HandshakeError)
      .and have_attributes(message: /\AInvalid HTTP header: Could not parse data entirely/)
    other = connect
    other.text("alive")
    expect(other.read_text).to eq("alive")
  end

  it "goes on where a client leaves within the TLS handshake" do
    serve_securely
    dial.disconnect
    half = dial
    half.write("\x16\x03\x01")
    half.disconnect

    expect_only_the_next_client_told
  end

  it "runs beside a plain server in one reactor" do
    serve_securely
    _, port = server.also { |ws| echo(ws) }
    clients = [connect(tls: true), connect(port: port)]
    clients.each { |client| client.text("both") }

    expect(clients.map(&:read_text)).to eq(%w[both both])
  end

  it "takes key and certificate as text" do
    serve(secure: true,
          tls_options: { private_key: Certificate.key_text, cert: Certificate.chain_text })

    expect(connect(tls: true).response[:status]).to include("101")
  end

  it "takes an encrypted key and its password" do
    serve_securely(
      tls_options: {
        private_key_file: Certificate.encrypted_key_file("open sesame"),
        private_key_pass: "open sesame", cert_chain_file: Certificate.chain_file
      }
    )

    expect(connect(tls: true).response[:status]).to include("101")
  end

  %i[private_key_file cert_chain_file].each do |name|
    it "names the file that #{name} does not find, at start", :extension do
      tls_options = Certificate.tls_options.merge(name => "/no/such/file.pem")

      expect { serve(secure: true, tls_options: tls_options) }
        .to raise_error(%r{/no/such/file\.pem})
      expect(EM).not_to be_reactor_running
    end

    it "names the file of #{name} that holds no PEM, at start", :extension do
      tls_options = Certificate.tls_options.merge(name => __FILE__)

      expect { serve(secure: true, tls_options: tls_options) }
        .to raise_error(/#{File.basename(__FILE__)}/)
    end
  end

  it "says at start that the key is not the certificate's", :extension do
    other = OpenSSL::PKey::RSA.new(2048).private_to_pem

    expect do
      serve(secure: true, tls_options: { private_key: other, cert: Certificate.chain_text })
    end.to raise_error(StandardError, /key/i)
  end
end
