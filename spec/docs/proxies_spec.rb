# frozen_string_literal: true

require "etc"
require_relative "../apps/program"
require_relative "../../rakelib/page"

# Configurations of HAProxy and stunnel in docs/deployment.md, run by them, and their other ways to
# say who the client is.
RSpec.describe "docs/deployment.md", "on the client's address", :extension, timeout: 90 do
  page = Page.new("docs/deployment.md")
  shown = ->(language) { page.blocks.find { |block| block.language == language }.code }
  client = "127.0.0.5"

  around do |example|
    Dir.mktmpdir("proxy") do |directory|
      @directory = directory
      @port, = Program.free_ports(1)
      example.run
    end
  end

  def telling(options)
    serve(options) do |ws|
      ws.onopen { |handshake| ws.send("#{ws.remote_ip} #{handshake.remote_ip}") }
      ws.onmessage { |text| ws.send("#{text} #{ws.remote_ip}") }
    end
  end

  # Runs a proxy on a file that the block makes of the ports; it is skipped where there is none.
  def proxy(name, *arguments, text)
    command = Program.server(name)
    skip "there is no #{name} (bin/setup test unpacks one)" unless command

    path = File.join(@directory, "conf")
    File.write(path, text)
    @program = Program.new(command, *arguments, path, env: Program.server_environment)
  end

  after { @program&.kill }

  def certificate
    File.join(@directory, "all.pem").tap do |path|
      File.write(path, File.read(Certificate.chain_file) + File.read(Certificate.key_file))
    end
  end

  def here(text)
    text.sub(/(bind|accept =) :?443/) { "#{Regexp.last_match(1)} 127.0.0.1:#{@port}" }
        .sub("127.0.0.1:8080", "127.0.0.1:#{server.port}")
        .sub("/etc/ssl/example.com.pem") { certificate }
        .sub("/etc/ssl/example.com.key") { Certificate.key_file }
  end

  def seen(**request)
    visitor = reach(@port, **request)
    first = visitor.read_text
    visitor.text("still")
    [first, visitor.read_text]
  end

  its_own = ["#{client} #{client}", "still #{client}"]
  { "send-proxy-v2" => "version 2", "send-proxy" => "version 1" }.each do |way, version|
    it "has the client's address from HAProxy in TCP mode, by the PROXY protocol of #{version}" do
      telling(proxy_protocol: ["127.0.0.1"], secure_proxy: true)
      proxy("haproxy", "-f", here(shown.call("haproxy")).sub("send-proxy-v2", way))

      expect(seen(tls: true, from: client)).to eq(its_own)
    end
  end

  it "has it from HAProxy in HTTP mode, by X-Forwarded-For, whatever the client has sent" do
    telling(trusted_proxies: ["127.0.0.1"])
    text = here(shown.call("haproxy")).sub("mode tcp", "mode http\n  option forwardfor")
    proxy("haproxy", "-f", text.sub(" send-proxy-v2", "").sub(" check", ""))
    headers = { "X-Forwarded-For" => "6.6.6.6, 127.0.0.1" }

    expect(seen(tls: true, from: client, headers: headers)).to eq(its_own)
    forger = reach(@port, tls: true, from: client, headers: { "Forwarded" => "for=6.6.6.6" })
    expect(forger.response[:status]).to eq("HTTP/1.1 400 Bad Request")
  end

  it "has it through HAProxy in front of TLS that is the server's" do
    telling(proxy_protocol: ["127.0.0.1"], secure: true, tls_options: Certificate.tls_options)
    text = here(shown.call("haproxy")).sub(/ ssl crt \S+/, "")
    proxy("haproxy", "-f", text)

    expect(seen(tls: true, from: client)).to eq(its_own)
  end

  it "has it from stunnel" do
    telling(proxy_protocol: ["127.0.0.1"], secure_proxy: true)
    proxy("stunnel4", "foreground = yes\npid =\n#{here(shown.call("stunnel"))}")

    expect(seen(tls: true, from: client)).to eq(its_own)
  end

  describe "from nginx" do
    def nginx(site)
      text = <<~NGINX
        daemon off;
        pid "#{@directory}/pid";
        error_log stderr notice;
        events {}
        #{site}
      NGINX
      proxy("nginx", "-p", @directory, "-c", text)
    end

    it "by X-Forwarded-For that it appends to what the client has sent" do
      telling(trusted_proxies: ["127.0.0.1"])
      temporary = %w[client_body proxy fastcgi uwsgi scgi].map do |kind|
        "#{kind}_temp_path \"#{@directory}/#{kind}\";"
      end
      nginx(<<~NGINX)
        http {
          access_log off; #{temporary.join(" ")}
          server {
            listen 127.0.0.1:#{@port};
            location / {
              proxy_pass http://127.0.0.1:#{server.port};
              proxy_http_version 1.1;
              proxy_set_header Upgrade $http_upgrade;
              proxy_set_header Connection "upgrade";
              proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            }
          }
        }
      NGINX

      expect(seen(from: client, headers: { "X-Forwarded-For" => "6.6.6.6" })).to eq(its_own)
    end

    it "by X-Forwarded-For over a Unix socket, as the page has it" do
      program = page.blocks.find { |block| block.code.start_with?("# unix.rb") }.code
      upstream = page.blocks.find { |block| block.code.include?("server unix:") }.code
      path = File.join(@directory, "chat.sock")
      ruby = File.join(@directory, "unix.rb")
      File.write(ruby, program)
      Program.ruby(ruby, env: { "SOCKET" => path }) do
        # Its workers must be let at the socket, and at the directory.
        user = "user #{Etc.getpwuid.name} #{Etc.getgrgid.name};" if Process.uid.zero?
        nginx(<<~NGINX)
          #{user}
          http {
            access_log off;
            #{%w[client_body proxy fastcgi uwsgi scgi].map { |it| "#{it}_temp_path #{@directory}/#{it};" }.join}
            #{upstream.sub("/run/chat/chat.sock", path)}
            server {
              listen 127.0.0.1:#{@port};
              location / {
                proxy_pass http://chat;
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection "upgrade";
                proxy_set_header X-Forwarded-For $remote_addr;
              }
            }
          }
        NGINX
        sleep 0.02 until File.socket?(path)
        visitor = reach(@port, from: client)
        expect(visitor.read_text).to eq("#{client} false")
        visitor.text("still")
        expect(visitor.read_text).to eq("still")
      end
    end
  end
end
