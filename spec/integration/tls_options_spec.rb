# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "and its tls_options" do
  def serve_with(**tls_options)
    serve(secure: true, tls_options: Certificate.tls_options.merge(tls_options))
  end

  def tls_client(port: server.port, **settings) = opened(TlsClient.new(port, **settings))

  def be_refused
    raise_error(satisfy { |e| e.is_a?(OpenSSL::SSL::SSLError) || e.is_a?(SystemCallError) })
  end

  tls12 = OpenSSL::SSL::TLS1_2_VERSION
  tls13 = OpenSSL::SSL::TLS1_3_VERSION

  { "TLSv1_2" => [tls12, tls13], "tlsv1_3" => [tls13, tls12] }.each do |name, (spoken, other)|
    [name, [name], [name.to_sym]].each do |ssl_version|
      it "speaks only #{ssl_version.inspect}" do
        serve_with(ssl_version: ssl_version)

        expect { tls_client(min_version: other, max_version: other) }.to be_refused
        client = tls_client
        client.open
        client.text("spoken")
        expect(client.read_text).to eq("spoken")
        expect(client.socket.ssl_version).to eq(spoken == tls12 ? "TLSv1.2" : "TLSv1.3")
      end
    end
  end

  it "speaks both of an Array" do
    serve_with(ssl_version: %w[TLSv1_2 TLSv1_3])

    expect([tls12, tls13].map { |version| tls_client(max_version: version).socket.ssl_version })
      .to eq(%w[TLSv1.2 TLSv1.3])
  end

  %w[ECDHE-RSA-CHACHA20-POLY1305 ECDHE-RSA-AES256-GCM-SHA384].each do |cipher|
    it "uses #{cipher}, where cipher_list says so" do
      serve_with(cipher_list: cipher, ssl_version: "TLSv1_2")
      client = tls_client
      client.open
      ws = open_connection

      expect(client.socket.cipher.first).to eq(cipher)
      expect(server.call { ws.get_cipher_name }).to eq(cipher)
    end
  end

  it "refuses who speaks no cipher of cipher_list" do
    serve_with(cipher_list: "ECDHE-RSA-CHACHA20-POLY1305", ssl_version: "TLSv1_2")

    expect { tls_client(max_version: tls12, ciphers: "ECDHE-RSA-AES128-GCM-SHA256") }.to be_refused
  end

  {
    { ssl_version: "TLSv1" } => /TLSv1/,
    { ssl_version: [] } => /version/i,
    { ssl_version: "TLSv9" } => /TLSv9/,
    { cipher_list: "AES128-SHA" } => /AES128-SHA/,
    { cipher_list: "TLS_AES_128_GCM_SHA256", ssl_version: "TLSv1_2" } => /TLS_AES_128_GCM_SHA256/,
    { ecdh_curve: "secp521r1" } => /secp521r1/,
    { private_key: "both" } => /private_key/,
    { cert: "both" } => /cert/
  }.each do |options, message|
    it "refuses #{options} at start", :ours do
      expect { serve_with(**options) }.to raise_error(ArgumentError, message)
      expect(EM).not_to be_reactor_running
    end
  end

  it "refuses a key without a certificate at start", :ours do
    expect { serve(secure: true, tls_options: { private_key_file: Certificate.key_file }) }
      .to raise_error(ArgumentError, /cert/)
  end

  describe ":private_key_pass" do
    encrypted = -> { File.read(Certificate.encrypted_key_file("open sesame")) }

    it "opens a key that is text" do
      serve(secure: true, tls_options: {
              private_key: encrypted.call, private_key_pass: "open sesame",
              cert: Certificate.chain_text
            })

      expect(connect(tls: true).response[:status]).to include("101")
    end

    ["close sesame", "", nil].each do |wrong|
      it "is refused at start where it is #{wrong.inspect}", :ours do
        expect do
          serve(secure: true, tls_options: {
                  private_key: encrypted.call, private_key_pass: wrong,
                  cert: Certificate.chain_text
                })
        end.to raise_error(ArgumentError, /pass/)
      end
    end
  end

  describe "of start_tls" do
    it "makes a connection of a plain server TLS, in the accept block" do
      serve do |ws|
        echo(ws)
        ws.start_tls(Certificate.tls_options)
      end
      client = connect(tls: true)
      client.text("secret")

      expect(client.read_text).to eq("secret")
    end

    it "makes it TLS in post_init" do
      hooks = Module.new { define_method(:post_init) { start_tls(Certificate.tls_options) } }
      described_class::Connection.prepend(hooks)
      serve
      client = connect(tls: true)
      client.text("secret")

      expect(client.read_text).to eq("secret")
    ensure
      hooks.send(:remove_method, :post_init)
    end

    it "says that it is too late, once the connection has begun", :ours do
      serve
      client = connect
      ws = open_connection

      expect { server.call { ws.start_tls(Certificate.tls_options) } }
        .to raise_error(EM::WebSocket::WebSocketError, /\Astart_tls: /)
      client.text("plain")
      expect(client.read_text).to eq("plain")
    end
  end

  # A key and a certificate of its own, written over those that are there.
  def renew(key_file, chain_file, serial)
    key = OpenSSL::PKey::EC.generate("prime256v1")
    certificate = OpenSSL::X509::Certificate.new(Certificate.chain_text)
    certificate.serial = serial
    certificate.public_key = key
    certificate.sign(key, OpenSSL::Digest.new("SHA256"))
    File.write(key_file, key.to_pem)
    File.write(chain_file, certificate.to_pem)
    # As if it were that many seconds later.
    [key_file, chain_file].each { |file| File.utime(Time.now, Time.now + serial, file) }
  end

  it "serves a renewed certificate to the next connection" do
    Dir.mktmpdir do |directory|
      files = %w[key chain].map { |name| File.join(directory, "#{name}.pem") }
      renew(*files, 10)
      serve(secure: true, tls_options: { private_key_file: files[0], cert_chain_file: files[1] })
      before = connect(tls: true)
      renew(*files, 20)
      after = connect(tls: true)
      before.text("goes on")

      expect([before, after].map { |client| client.socket.peer_cert.serial.to_i }).to eq([10, 20])
      expect(before.read_text).to eq("goes on")
    end
  end
end
