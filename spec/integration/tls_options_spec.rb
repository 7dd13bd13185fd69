# frozen_string_literal: true

require "pathname"

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
    it "refuses #{options} at start", :extension do
      expect { serve_with(**options) }.to raise_error(ArgumentError, message)
      expect(EM).not_to be_reactor_running
    end
  end

  it "refuses a key without a certificate at start", :extension do
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
      it "is refused at start where it is #{wrong.inspect}", :extension do
        expect do
          serve(secure: true, tls_options: {
                  private_key: encrypted.call, private_key_pass: wrong,
                  cert: Certificate.chain_text
                })
        end.to raise_error(ArgumentError, /pass/)
      end
    end
  end

  # RFC 7301: what a client offers, and what is chosen; false: it is refused.
  {
    nil => nil, %w[http/1.1] => "http/1.1", %w[h2 http/1.1] => "http/1.1", %w[h2] => false
  }.each do |offered, chosen|
    it "answers a client that offers #{offered.inspect} by ALPN", :extension do
      serve_with
      settings = offered ? { alpn_protocols: offered } : {}
      next expect { tls_client(**settings) }.to be_refused if chosen == false

      client = tls_client(**settings)
      client.open
      expect(client.socket.alpn_protocol).to eq(chosen)
      expect(client.response[:status]).to include("101")
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

    it "says that it is too late, once the connection has begun", :extension do
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

  describe "as bytes" do
    comment = "Ren\xE9's server\n".b
    mark = "\xEF\xBB\xBF".b

    {
      "of any encoding, behind a comment in Latin-1" => ->(pem) { comment + pem.b },
      "behind a byte order mark" => ->(pem) { mark + pem.b },
      "with the line ends of Windows" => ->(pem) { pem.gsub("\n", "\r\n") },
      "with text around it" => ->(pem) { "Bag Attributes\n\n#{pem}\nthe end" }
    }.each do |how, dress|
      it "are taken from Strings #{how}" do
        key, cert = [Certificate.key_text, Certificate.chain_text].map(&dress)
        serve(secure: true, tls_options: { private_key: key, cert: cert })

        expect(connect(tls: true).response[:status]).to include("101")
      end

      it "are taken from files #{how}" do
        Dir.mktmpdir do |directory|
          files = { "key" => Certificate.key_text, "chain" => Certificate.chain_text }
          key, chain = files.map do |name, pem|
            File.join(directory, name).tap { |path| File.binwrite(path, dress.call(pem)) }
          end
          serve(secure: true, tls_options: { private_key_file: key, cert_chain_file: chain })

          expect(connect(tls: true).response[:status]).to include("101")
        end
      end
    end

    ["k\u00E9y".b, "k\xE9y".b, "k\xE9y", "k\u00E9y", "k\xE9y".dup.force_encoding("ISO-8859-1")]
      .each do |name|
        it "are taken from a file named #{name.inspect} (#{name.encoding})" do
          Dir.mktmpdir do |directory|
            path = "#{directory}/".b.concat(name.b).force_encoding(name.encoding)
            File.binwrite(path, Certificate.key_text)
            serve_with(private_key_file: path)

            expect(connect(tls: true).response[:status]).to include("101")
          end
        end
      end

    it "are taken from files of any object that is a path", :extension do
      serve_with(private_key_file: Pathname(Certificate.key_file),
                 cert_chain_file: Struct.new(:to_path).new(Certificate.chain_file))

      expect(connect(tls: true).response[:status]).to include("101")
    end

    it "open a key as its passphrase" do
      serve(secure: true, tls_options: {
              private_key: File.read(Certificate.encrypted_key_file("s\xE9same".b)),
              private_key_pass: "s\xE9same", cert: Certificate.chain_text
            })

      expect(connect(tls: true).response[:status]).to include("101")
    end

    it "are no PEM in UTF-16", :extension do
      expect { serve_with(cert_chain_file: nil, cert: Certificate.chain_text.encode("UTF-16")) }
        .to raise_error(ArgumentError, /\Atls_options\[:cert\] is UTF-16/)
    end
  end

  describe "of odd values", :extension do
    asked = %i[verify_peer fail_if_no_peer_cert]
    secret = %i[private_key private_key_pass cert]
    keys = UPSTREAM ? [] : described_class::TlsOptions::KEYS
    keys.each do |key|
      it "takes :#{key}, or names it when the server starts" do
        allow_any_instance_of(described_class::Certificate).to receive(:warn)
        [*OddValues::ALL, "SECRET"].each do |value|
          serve_with(key => value)
          server.stop
          expect(asked).to include(key) if value.is_a?(Numeric) || value.is_a?(Symbol)
        rescue ArgumentError, EventMachine::FileNotFoundException => e
          expect(e.message).to match(/tls_options\[:#{key}|certificate was given without/)
          expect(e.message).not_to match(OddValues::FOREIGN)
          expect(e.message).not_to include("SECRET") if secret.include?(key)
        end
      end
    end

    it "takes no keys that are Strings, which EventMachine passes over" do
      options = Certificate.tls_options.transform_keys(&:to_s)

      expect { serve(secure: true, tls_options: options) }
        .to raise_error(ArgumentError, /\Atls_options: the key "\w+" must be the Symbol :\w+\z/)
    end

    it "takes none in start_tls either, nor on EventMachine's own sockets", :attached do
      options = Certificate.tls_options.merge("verify_peer" => true)

      expect { serve(secure: true, tls_options: options) }
        .to raise_error(ArgumentError, /the key "verify_peer" must be the Symbol :verify_peer/)
    end
  end

  describe "of files that change" do
    around { |example| Dir.mktmpdir { |directory| Dir.chdir(directory) { example.run } } }

    # A key and a certificate that replace those that are there, all at one time.
    def replace(name, directory = ".")
      key = OpenSSL::PKey::EC.generate("prime256v1")
      certificate = OpenSSL::X509::Certificate.new(Certificate.chain_text)
      certificate.subject = OpenSSL::X509::Name.parse("/CN=#{name}")
      certificate.public_key = key
      certificate.sign(key, OpenSSL::Digest.new("SHA256"))
      { "key.pem" => key, "chain.pem" => certificate }.each do |file, made|
        new = File.join(directory, "#{file}.new")
        File.write(new, made.to_pem)
        File.utime(0, 0, new)
        File.rename(new, File.join(directory, file))
      end
    end

    def serve_files
      serve(secure: true, tls_options: {
              private_key_file: "key.pem", cert_chain_file: "chain.pem"
            })
    end

    def served
      tls_client.socket.peer_cert.subject.to_s
    end

    def warnings
      said = Mailbox.new
      unless UPSTREAM
        allow_any_instance_of(described_class::Certificate)
          .to receive(:warn) { |_, text| said << text }
      end
      said
    end

    it "serves those that have replaced others of the same mtime" do
      replace("first")
      serve_files
      expect(served).to eq("/CN=first")
      replace("later")

      expect(served).to eq("/CN=later")
    end

    it "serves those that a link has been moved to" do
      %w[first later].each { |name| Dir.mkdir(name).then { replace(name, name) } }
      %w[key.pem chain.pem].each { |file| File.symlink("first/#{file}", file) }
      serve_files
      expect(served).to eq("/CN=first")
      %w[key.pem chain.pem].each do |file|
        File.symlink("later/#{file}", "new")
        File.rename("new", file)
      end

      expect(served).to eq("/CN=later")
    end

    it "serves what the application has written into its own Strings" do
      replace("first")
      key, cert = %w[key.pem chain.pem].map { |file| File.read(file) }
      serve(secure: true, tls_options: { private_key: key, cert: cert })
      expect(served).to eq("/CN=first")
      replace("later")
      key.replace(File.read("key.pem"))
      cert.replace(File.read("chain.pem"))

      expect(served).to eq("/CN=later")
    end

    it "goes on with the one before while the new one is not whole, and says so once", :extension do
      said = warnings
      replace("first")
      serve_files
      expect(served).to eq("/CN=first")
      chain = File.read("chain.pem")
      File.write("chain.pem", chain[0, chain.size / 2])
      3.times { expect(served).to eq("/CN=first") }
      expect(said.drain).to contain_exactly(/goes on: .*chain\.pem.* is damaged/)
      File.delete("key.pem")
      3.times { expect(served).to eq("/CN=first") }
      expect(said.drain.size).to eq(1)
      replace("later")

      expect(served).to eq("/CN=later")
      expect(said).to be_empty
    end

    it "reads them again that could not be read for a while, and says so once", :extension do
      said = warnings
      replace("first")
      serve_files
      now = [100.0]
      allow_any_instance_of(described_class::Certificate).to receive(:now) { now.first }
      native = EM::WebSocket.const_get(:Native)::TlsConfig
      original = native.method(:new)
      allow(native).to receive(:new) do
        raise ArgumentError, "could not read key.pem: too many open files"
      end
      replace("later")
      expect(served).to eq("/CN=first")
      now[0] += 1.5
      expect(served).to eq("/CN=first")
      expect(said.drain).to contain_exactly(/goes on: could not read key\.pem/)
      allow(native).to receive(:new, &original)
      expect(served).to eq("/CN=first")
      now[0] += 1.5

      expect(served).to eq("/CN=later")
    end
  end

  it "keeps no more than some sets of options, and none for longer than the server", :extension do
    count = lambda do
      GC.start
      ObjectSpace.each_object(described_class::Certificate).count
    end
    before = count.call
    # On a stack of its own, which shows nothing to the garbage collector afterwards.
    kept = Thread.new do
      numbers = (1..).each
      server = Server.new do |ws|
        ws.start_tls(Certificate.tls_options.merge(private_key_pass: "pass #{numbers.next}"))
      end
      40.times { RawClient.open(server.port, tls: true).disconnect }
      count.call.tap { server.stop }
    end.value

    expect(kept - before).to be_between(16, 20)
    expect(count.call - before).to be < 5
  end

  it "reads one set of options once, whichever Hash it comes in", :extension do
    native = EM::WebSocket.const_get(:Native)::TlsConfig
    allow(native).to receive(:new).and_call_original
    serve { |ws| ws.start_tls(Certificate.tls_options.transform_values(&:dup)) }
    3.times { connect(tls: true) }

    expect(native).to have_received(:new).once
  end
end
