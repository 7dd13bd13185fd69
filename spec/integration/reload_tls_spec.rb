# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, ".reload_tls", :extension do
  around { |example| Dir.mktmpdir { |directory| Dir.chdir(directory) { example.run } } }

  before do
    # Files that change are noticed without it.
    native = described_class.const_get(:Native)
    allow(native).to receive(:file_identity).and_return("the same")
    @said = Mailbox.new
    allow_any_instance_of(described_class::Certificate)
      .to receive(:warn) { |_, text| @said << text }
  end

  # A key and a certificate of this name, in files of a prefix.
  def write(name, prefix = "")
    key = OpenSSL::PKey::EC.generate("prime256v1")
    certificate = OpenSSL::X509::Certificate.new(Certificate.chain_text)
    certificate.subject = OpenSSL::X509::Name.parse("/CN=#{name}")
    certificate.public_key = key
    certificate.sign(key, OpenSSL::Digest.new("SHA256"))
    File.write("#{prefix}key.pem", key.to_pem)
    File.write("#{prefix}chain.pem", certificate.to_pem)
  end

  def files(prefix = "")
    { private_key_file: "#{prefix}key.pem", cert_chain_file: "#{prefix}chain.pem" }
  end

  def serve_files(**tls_options) = serve(secure: true, tls_options: { **files, **tls_options })

  def client(hostname = nil)
    opened(TlsClient.new(server.port, hostname: hostname)).tap(&:open)
  end

  def served(hostname = nil) = client(hostname).socket.peer_cert.subject.to_s

  it "serves the new certificate to new clients, and those that are there go on" do
    write("first")
    serve_files
    clients = Array.new(50) { client }
    write("later")
    expect(served).to eq("/CN=first")

    expect(server.call { described_class.reload_tls }).to eq([])
    expect(served).to eq("/CN=later")
    clients.each { |client| client.text("still here") }
    expect(clients.map(&:read_text)).to all(eq("still here"))
    expect(@said).to be_empty
  end

  {
    "that is damaged" => [-> { File.write("chain.pem", "damaged") }, ArgumentError, /chain\.pem/],
    "whose key is another's" => [
      -> { Certificate.key_text.then { |key| File.write("key.pem", key) } }, ArgumentError,
      /does not match the certificate/
    ],
    "whose key is missing" => [
      -> { File.delete("key.pem") }, EventMachine::FileNotFoundException, /key\.pem/
    ]
  }.each do |what, (spoil, error, message)|
    it "changes nothing for a certificate #{what}, and says so each time" do
      write("first")
      serve_files
      write("later")
      spoil.call
      2.times do
        errors = described_class.reload_tls
        expect(errors).to contain_exactly(be_a(error).and(have_attributes(message: message)))
        expect(@said.drain).to contain_exactly(/was read before goes on: .*#{message}/)
      end
      expect(served).to eq("/CN=first")
      write("later")
      expect(described_class.reload_tls).to eq([])

      expect(served).to eq("/CN=later")
    end
  end

  it "changes nothing for any host where one certificate is damaged" do
    write("first")
    write("first a", "a-")
    serve_files(hosts: { "a.example" => files("a-") })
    write("later")
    write("later a", "a-")
    File.write("a-chain.pem", "damaged")
    expect(described_class.reload_tls.map(&:message))
      .to contain_exactly(/"a.example".*a-chain\.pem/)
    expect([served, served("a.example")]).to eq(["/CN=first", "/CN=first a"])
    write("later a", "a-")
    expect(described_class.reload_tls).to eq([])

    expect([served, served("a.example")]).to eq(["/CN=later", "/CN=later a"])
  end

  it "reads the files of hosts, which are looked at once a second, no second time" do
    native = described_class.const_get(:Native)
    allow(native).to receive(:file_identity).and_call_original
    allow(native::TlsConfig).to receive(:new).and_call_original
    now = [100.0]
    allow_any_instance_of(described_class::Certificate).to receive(:now) { now.first }
    write("first")
    write("first a", "a-")
    serve_files(hosts: { "a.example" => files("a-") })
    write("later a", "a-")
    expect(described_class.reload_tls).to eq([])
    now[0] += 1.5

    expect([served, served("a.example")]).to eq(["/CN=first", "/CN=later a"])
    expect(native::TlsConfig).to have_received(:new).twice
  end

  it "reads those of every server, and goes on after one that is damaged" do
    write("first")
    write("other", "other-")
    serve_files
    _, port = server.also(secure: true, tls_options: files("other-")) { |ws| echo(ws) }
    write("later")
    File.write("other-key.pem", "damaged")

    expect(described_class.reload_tls.size).to eq(1)
    expect(served).to eq("/CN=later")
    expect(opened(TlsClient.new(port)).socket.peer_cert.subject.to_s).to eq("/CN=other")
  end

  it "reads those of start_tls, and the authorities of clients" do
    write("first")
    known = [Authority.new("before"), Authority.new("after")]
    File.write("ca.pem", known[0].pem)
    serve do |ws|
      echo(ws)
      ws.start_tls(**files, client_ca_file: "ca.pem")
    end
    served = lambda do
      known.map do |authority|
        client = TlsClient.new(server.port, **authority.issue("client"))
        opened(client).open && client.socket.peer_cert.subject.to_s
      rescue OpenSSL::SSL::SSLError, SystemCallError
        nil
      end
    end
    expect(served.call).to eq(["/CN=first", nil])
    write("later")
    File.write("ca.pem", known[1].pem)
    described_class.reload_tls

    expect(served.call).to eq([nil, "/CN=later"])
  end

  it "has nothing to do for servers without TLS, and where there is none" do
    expect(described_class.reload_tls).to eq([])
    serve
    expect(described_class.reload_tls).to eq([])
  end

  describe "by USR1" do
    # A process with a server of files, whose clients are a thread; it prints the names that are
    # served before the signal and after it.
    def run_signalled(options, first: "", start: "EM::WebSocket.start(options) { |ws| }")
      write("first")
      run_apart(<<~RUBY)
        require "openssl"
        $stdout.sync = true
        EM::WebSocket.const_get(:Native).define_singleton_method(:file_identity) { |_| "the same" }
        EM::WebSocket.singleton_class.prepend(Module.new { def run(*) = $signature = super })
        served = lambda do
          port, = Socket.unpack_sockaddr_in(EM.get_sockname($signature))
          socket = OpenSSL::SSL::SSLSocket.new(TCPSocket.new("127.0.0.1", port))
          socket.connect
          socket.peer_cert.subject.to_s.tap { socket.close }
        end
        options = { host: "127.0.0.1", port: 0, secure: true, tls_options: #{options} }
        #{first}
        told = nil
        EM.next_tick do
          told = Thread.new do
            puts served.call
            File.rename("later-chain.pem", "chain.pem")
            File.rename("later-key.pem", "key.pem")
            Process.kill(:USR1, Process.pid)
            deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 2
            sleep 0.01 until $done || served.call == "/CN=later" ||
                             Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
            puts served.call
          ensure
            EM.stop
          end
        end
        #{start}
        told.join
      RUBY
    end

    files = '{ private_key_file: "key.pem", cert_chain_file: "chain.pem" }'
    before { write("later", "later-") }

    it "reads the files again, with start" do
      expect(run_signalled(files)).to eq("/CN=first\n/CN=later\n")
    end

    it "says on stderr what is wrong with them" do
      File.write("later-key.pem", "damaged")
      first = <<~RUBY
        EM::WebSocket::Certificate.prepend(Module.new { def warn(*) = super.tap { $done = true } })
      RUBY

      expect(run_signalled(files, first: first))
        .to match(%r{\A/CN=first\nem-websocket: .* goes on: no private key .*\n/CN=first\n\z})
    end

    it "is the application's, where it has trapped it before" do
      first = 'trap("USR1") { $done = true; $stdout.write("mine\n") }'

      expect(run_signalled(files, first: first)).to eq("/CN=first\nmine\n/CN=first\n")
    end

    it "is the application's to trap, with run" do
      start = <<~RUBY
        EM.run do
          EM::WebSocket.run(options) { |ws| }
          trap("USR1") { EM::WebSocket.reload_tls }
        end
      RUBY

      expect(run_signalled(files, start: start)).to eq("/CN=first\n/CN=later\n")
    end

    {
      "no TLS" => "secure: false",
      "a certificate that comes from no file" => "secure: true, tls_options: texts"
    }.each do |what, options|
      it "is left alone where there is #{what}" do
        write("text")
        output = run_apart(<<~RUBY)
          texts = { private_key: File.read("key.pem"), cert: File.read("chain.pem") }
          EM.next_tick { EM.stop }
          EM::WebSocket.start(host: "127.0.0.1", port: 0, #{options}) { |ws| }
          p trap("USR1", "DEFAULT")
        RUBY

        expect(output).to eq(%("DEFAULT"\n))
      end
    end
  end
end
