# frozen_string_literal: true

require_relative "report"

module TlsAudit
  # sslyze, with the profile "intermediate" of Mozilla. The profile says what may not be offered; on
  # top of that, what is offered must be exactly this.
  class Sslyze
    COMMAND = File.expand_path("../../tmp/tls_audit/venv/bin/sslyze", __dir__)
    PATIENCE = 120

    REFUSED = {
      "ssl_2_0_cipher_suites" => "SSL 2.0", "ssl_3_0_cipher_suites" => "SSL 3.0",
      "tls_1_0_cipher_suites" => "TLS 1.0", "tls_1_1_cipher_suites" => "TLS 1.1"
    }.freeze

    # With the word for the kind of key in the place of "%s".
    SPOKEN = {
      "tls_1_2_cipher_suites" => ["TLS 1.2", %w[
        TLS_ECDHE_%s_WITH_AES_128_GCM_SHA256
        TLS_ECDHE_%s_WITH_AES_256_GCM_SHA384
        TLS_ECDHE_%s_WITH_CHACHA20_POLY1305_SHA256
      ]],
      "tls_1_3_cipher_suites" => ["TLS 1.3", %w[
        TLS_AES_128_GCM_SHA256
        TLS_AES_256_GCM_SHA384
        TLS_CHACHA20_POLY1305_SHA256
      ]]
    }.freeze

    CURVES = %w[X25519 secp256r1 secp384r1].freeze

    # Of each scan, what it must say. The profile asks for the same, but not
    # about a flood of renegotiations.
    EXPECTED = [
      ["compression", "tls_compression", "supports_compression", false],
      ["CCS injection", "openssl_ccs_injection", "is_vulnerable_to_ccs_injection", false],
      ["Heartbleed", "heartbleed", "is_vulnerable_to_heartbleed", false],
      %w[ROBOT robot robot_result NOT_VULNERABLE_RSA_NOT_SUPPORTED],
      ["TLS_FALLBACK_SCSV", "tls_fallback_scsv", "supports_fallback_scsv", true],
      ["secure renegotiation", "session_renegotiation", "supports_secure_renegotiation", true],
      ["flood of renegotiations", "session_renegotiation",
       "is_vulnerable_to_client_renegotiation_dos", false],
      ["extended master secret", "tls_extended_master_secret", "supports_ems_extension", true]
    ].freeze

    SCANS = ["certificate_info", "elliptic_curves", *REFUSED.keys, *SPOKEN.keys,
             *EXPECTED.map { |_, scan, *| scan }].uniq.freeze

    # Nothing is fetched: the certificate leads to this authority, and that is all that is asked.
    def self.audit(port, authority_file, json_file)
      # It warns of certificates in the trust stores that it brings along.
      quiet = { "PYTHONWARNINGS" => "ignore" }
      new(*Tool.run(
        quiet, COMMAND, "--mozilla_config=intermediate", "--certinfo_ca_file=#{authority_file}",
        "--json_out=#{json_file}", "127.0.0.1:#{port}", within: PATIENCE, json_file: json_file
      ))
    end

    # The JSON does not say what became of the profile: that is in the output and the status.
    def initialize(json, output, status)
      @version = json["sslyze_version"]
      @server = json.fetch("server_scan_results").first || {}
      @output = output
      @status = status
    end

    # Outcome for a server with a key of this kind: "RSA" or "ECDSA".
    def report(kind)
      @report = Report.new("sslyze #{@version}, Mozilla's intermediate profile")
      unless complete?
        finding("scan", :unknown, @output.strip)
        return @report
      end
      judge_profile
      judge_versions(kind)
      expect("curves", CURVES, scan("elliptic_curves")["supported_curves"].map { |c| c["name"] })
      EXPECTED.each { |name, scan, key, value| expect(name, value, scan(scan)[key]) }
      @report
    end

    private

    def complete?
      @server["scan_status"] == "COMPLETED" &&
        SCANS.all? { |name| @server["scan_result"].dig(name, "status") == "COMPLETED" }
    end

    def scan(name) = @server["scan_result"][name]["result"]

    def judge_profile
      issues = @output.scan(/^ +\* (\w+): (.+)$/).select { |name, _| name.match?(/\A[a-z]\w+\z/) }
      issues.each { |name, text| finding(name, "profile", text) }
      is_compliant = @status.zero? && @output.include?("OK - Compliant.")
      finding("profile", "profile", "exit status #{@status}") unless is_compliant || issues.any?
      @report.results["the profile"] = is_compliant ? "met" : "not met"
    end

    def judge_versions(kind)
      REFUSED.each { |name, title| expect(title, [], accepted(name)) }
      SPOKEN.each do |name, (title, suites)|
        expect(title, suites.map { |suite| format(suite, kind) }, accepted(name))
      end
    end

    def accepted(name)
      scan(name)["accepted_cipher_suites"].map { |suite| suite["cipher_suite"]["name"] }
    end

    # Sets are written as Arrays.
    def expect(check, wanted, found)
      wanted, found = [wanted, found].map { |set| set.is_a?(Array) ? set.sort : set }
      @report.results[check] = describe(found)
      finding(check, "other than expected", "#{found.inspect}, not #{wanted.inspect}") if
        wanted != found
    end

    def describe(found)
      case found
      when [] then "refused"
      when Array then found.first.start_with?("TLS_") ? "#{found.size} suites" : found.join(", ")
      when true then "yes"
      when false then "no"
      else found.downcase.tr("_", " ")
      end
    end

    def finding(*all) = @report.findings << Finding.new(*all)
  end
end
