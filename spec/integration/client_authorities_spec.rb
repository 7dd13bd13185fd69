# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "and client_ca_file", :extension do
  authority = Authority.new("authority")
  stranger = Authority.new("stranger")

  around do |example|
    Dir.mktmpdir do |directory|
      @file = File.join(directory, "ca.pem")
      File.write(@file, authority.pem)
      example.run
    end
  end

  def serve_authorized(**tls_options, &accept)
    tls_options = { **Certificate.tls_options, client_ca_file: @file, **tls_options }
    serve(secure: true, tls_options: tls_options, &accept)
  end

  # True if the client's message comes back; in TLS 1.3 a client has finished before it is refused.
  def served?(settings)
    client = opened(TlsClient.new(server.port, **settings))
    client.open
    client.text("hello")
    !client.response.nil? && client.read_text == "hello"
  rescue OpenSSL::SSL::SSLError, SystemCallError
    false
  end

  %w[TLS1_2 TLS1_3].each do |name|
    version = OpenSSL::SSL.const_get("#{name}_VERSION")
    settings = { min_version: version, max_version: version }

    it "serves whom an authority of the file knows, and nobody else (#{name})" do
      serve_authorized
      clients = {
        authority.issue("known") => true,
        stranger.issue("of a stranger") => false,
        authority.issue("too late", not_after: Time.now - 60) => false,
        {} => false
      }

      expect(clients.to_h { |client, _| [client, served?({ **settings, **client })] })
        .to eq(clients)
      expect(event_names.count(:open)).to eq(1)
    end

    it "serves those without a certificate, where fail_if_no_peer_cert is false (#{name})" do
      serve_authorized(fail_if_no_peer_cert: false)
      of_stranger = stranger.issue("of a stranger")

      expect(served?(settings)).to be(true)
      expect(served?({ **settings, **of_stranger })).to be(false)
    end

    it "asks ssl_verify_peer about those that are known, with verify_peer (#{name})" do
      asked = Mailbox.new
      serve_authorized(verify_peer: true) do |ws|
        echo(ws)
        ws.define_singleton_method(:ssl_verify_peer) do |pem|
          subject = OpenSSL::X509::Certificate.new(pem).subject.to_s
          asked << subject
          subject == "/CN=welcome"
        end
      end
      clients = [authority, stranger].product(%w[welcome unwelcome])
                                     .map { |issuer, subject| issuer.issue(subject) }

      expect(clients.map { |client| served?({ **settings, **client }) })
        .to eq([true, false, false, false])
      expect(asked.drain).to eq(%w[/CN=welcome /CN=unwelcome])
    end
  end

  it "shows the application who it is" do
    serve_authorized
    client = authority.issue("somebody")
    expect(served?(client)).to be(true)
    ws = server.connection

    expect(server.call { ws.get_peer_cert }).to eq(client[:cert].to_pem)
  end

  it "reads the file again when it has changed" do
    serve_authorized
    clients = [authority, stranger].map { |issuer| issuer.issue("client") }
    expect(clients.map { |client| served?(client) }).to eq([true, false])
    File.write(@file, stranger.pem)

    expect(clients.map { |client| served?(client) }).to eq([false, true])
  end

  it "lets nobody resume a session of a server that asked for no certificate" do
    serve(secure: true, tls_options: Certificate.tls_options)
    plain = opened(TlsClient.new(server.port, max_version: OpenSSL::SSL::TLS1_2_VERSION))
    session = plain.socket.session
    server.stop
    serve_authorized
    context = OpenSSL::SSL::SSLContext.new
    context.max_version = OpenSSL::SSL::TLS1_2_VERSION
    socket = OpenSSL::SSL::SSLSocket.new(TCPSocket.new("127.0.0.1", server.port), context)
    socket.sync_close = true
    socket.session = session

    expect { socket.connect }.to raise_error(OpenSSL::SSL::SSLError)
  ensure
    socket&.close
  end

  {
    "is empty" => ["", ArgumentError, /\Atls_options\[:client_ca_file\] is empty/],
    "is missing" => [
      "/nowhere/ca.pem", EventMachine::FileNotFoundException, /\(tls_options\[:client_ca_file\]\)/
    ],
    "has no certificate" => [
      Certificate.key_file, ArgumentError, /\Ano certificate in .*\[:client_ca_file\]/
    ],
    "is no path" => [5, ArgumentError, /client_ca_file\]: an object of Integer is no path/],
    "is false" => [false, ArgumentError, /client_ca_file\]: an object of FalseClass is no path/]
  }.each do |what, (value, error, message)|
    it "is refused at start where it #{what}" do
      expect { serve_authorized(client_ca_file: value) }.to raise_error(error, message)
    end
  end
end
